"""Which workers' profiles were taken at one time, by the names of their folders: the second in which each was taken.

A profiler takes it from its host's local time, so whole and half hours may be a time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gpuprobe import wording

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Workers that profile the same steps begin within seconds of each other; profiles of successive runs lie further apart.
TOGETHER_S = 5
# Time zones are whole or half hours apart, and reach from UTC-12 to UTC+14.
ZONE_S, FARTHEST_S = 1800, 26 * 3600
# Of more profiles than these it is only said how many there are.
SHOWN = 3
NO_TIME = "no time in its name"


@dataclass(frozen=True)
class OneTime:
    """The profiles that were taken at one time, by the worker's folder, and how much later or earlier the others were.

    `zones` are those of `sessions` that seem to lie in another time zone, `apart` those that do not fit.
    """

    sessions: dict[str, Path]
    zones: dict[str, str]
    apart: dict[str, str]

    @property
    def is_job(self) -> bool:
        """Whether these are profiles of one job: most of them fit. Of many successive runs, two may do by chance."""
        return len(self.sessions) > max(1, len(self.apart))


def at_one_time(sessions: Mapping[str, Path]) -> OneTime:
    """Return which of the workers' profiles were taken at one time: the most that fit one of them."""
    taken = {name: time for name, session in sessions.items() if (time := _taken_s(session)) is not None}

    def fitting(first: str) -> list[str]:
        return [name for name, time in taken.items() if _fits(time - taken[first])]

    first = max(taken, key=lambda name: len(fitting(name)), default="")
    fit = fitting(first) if first else []
    later = {name: time - taken[first] for name, time in taken.items()}
    away = {name: _away(later[name], first) if name in later else NO_TIME for name in sessions}
    return OneTime(
        sessions={name: sessions[name] for name in fit},
        zones={name: away[name] for name in fit if not 0 <= later[name] <= TOGETHER_S},
        apart={name: words for name, words in away.items() if name not in fit},
    )


def some(differences: Mapping[str, str]) -> str:
    """Name workers with how much later or earlier they were, the first few of many."""
    shown = [f"{name} ({words})" for name, words in list(differences.items())[:SHOWN]]
    more = len(differences) - len(shown)
    return wording.listing([*shown, *([f"{more} more"] if more else [])])


def _fits(later_s: float) -> bool:
    """Whether two profiles were taken at one time if one was so much later than the other, but for time zones."""
    return abs(later_s) <= FARTHEST_S and later_s % ZONE_S <= TOGETHER_S


def _away(later_s: float, first: str) -> str:
    return f"{wording.clock(abs(later_s))} {'after' if later_s >= 0 else 'before'} {first}"


def _taken_s(session: Path) -> float | None:
    """Return when a profile was taken, in seconds of its host's local time; None where its name does not say."""
    try:
        taken = datetime.strptime(session.name[: len("2026_01_31_23_59_59")], "%Y_%m_%d_%H_%M_%S")
    except ValueError:
        return None
    return taken.replace(tzinfo=timezone.utc).timestamp()
