"""How figures are written in every output: one place for rounding, units and plurals."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Shorter durations are written with a fraction of a second.
SHORT_S = 1.0
# Shorter durations are written in milliseconds.
IN_MILLISECONDS_S = 0.1
# Whole seconds or minutes have three digits from here on.
LEAST_WITH_THREE_DIGITS = 100
S_PER_HOUR = 3600


def share(fraction: float) -> str:
    """Write a fraction (0 to 1) as a percentage: `19 %`, with one digit more below ten: `1.4 %`."""
    percent = 100 * fraction
    return f"{percent:.0f} %" if abs(percent) >= 9.95 or percent == 0 else f"{percent:.1f} %"


def significant(value: float, digits: int = 3) -> str:
    """Write a number with that many significant digits, thousands apart: `1,234`, `12.3`, `0.0123`."""
    if value == 0:
        return "0"
    text = f"{float(f'{value:.{digits}g}'):,.10f}"
    whole, _, decimals = text.partition(".")
    kept = max(0, digits - len(whole.lstrip("-").replace(",", ""))) if whole.strip("-0,") else None
    if kept is None:
        leading = len(decimals) - len(decimals.lstrip("0"))
        kept = leading + digits
    return f"{whole}.{decimals[:kept]}" if kept else whole


def milliseconds(value_ms: float) -> str:
    """Write a time given in milliseconds in the unit that reads best: `8.0 us`, `12.3 ms`, `4.20 s`."""
    if abs(value_ms) < 1:
        return f"{significant(1000 * value_ms)} us"
    if abs(value_ms) < 10_000:
        return f"{significant(value_ms)} ms"
    return f"{significant(value_ms / 1000)} s"


def clock(seconds: float) -> str:
    """Write a duration in seconds as a person says it: `0.24 s`, `45 s`, `3 min 20 s`, `2 h 05 min`."""
    if 0 < seconds < SHORT_S:
        return f"{significant(seconds, 2)} s"
    whole = max(0, round(seconds))
    if whole >= S_PER_HOUR:
        hours, minutes = divmod(round(whole / 60), 60)
        return f"{hours} h {minutes:02d} min"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def duration(seconds: float) -> str:
    """Write a duration in seconds with at least three digits: `12.3 ms`, `0.513 s`, `30.3 s`, `2 min 49 s`.

    So dividing one by another gives the ratio that is printed beside them.
    """
    if seconds < IN_MILLISECONDS_S:
        return milliseconds(1000 * seconds)
    if seconds < LEAST_WITH_THREE_DIGITS:
        return f"{significant(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return clock(seconds) if minutes >= LEAST_WITH_THREE_DIGITS else f"{minutes} min {rest:02d} s"


def times(value: float, low: float | None = None, high: float | None = None) -> str:
    """Write a ratio, with its range if it has one: `2.30x (2.10 to 2.50)`, or `280x (268 to 288)` from a hundred on."""
    known = [figure for figure in (value, low, high) if figure is not None]
    figures = [f"{figure:.2f}" if abs(figure) < 100 else significant(figure) for figure in known]
    return f"{figures[0]}x ({figures[1]} to {figures[2]})" if len(figures) == 3 else f"{figures[0]}x"


def mebibytes(mib: float) -> str:
    """Write an amount of memory given in MiB as MiB or GiB: `512 MiB`, `3.20 GiB`."""
    return f"{significant(mib / 1024)} GiB" if mib >= 1024 else f"{significant(mib)} MiB"


def cores(value: float) -> str:
    """Write how many processors' worth of time something took: `0.42 cores`, `12 cores`; hundredths are the finest."""
    return f"{significant(round(value, 2), 2)} cores"


def count(number: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun, plural where it is one: `1 step`, `1,563 steps`, `2 clashes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def command(*words: object) -> str:
    """Write a command so that a shell takes it: quotes around blanks, and `./` before paths that begin with `-`."""
    return shlex.join(word if isinstance(word, str) else _path(str(word)) for word in words)


def _path(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def listing(names: Sequence[str], last: str = "and") -> str:
    """Join names as a sentence does: `a`, `a and b`, `a, b and c`; `last` is the word before the last of them."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
