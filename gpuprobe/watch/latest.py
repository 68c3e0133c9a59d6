"""The newest values of a recording that is being written, for the live view and for scrapers."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Rows of eight GPUs take about 1 KiB at 20 a second: this holds the last two seconds of them and more of fewer.
TAIL_BYTES = 65_536
# A value that is older than this is no longer what is the case now.
STALE_S = 5.0


@dataclass(frozen=True)
class Latest:
    """By column: the last value that was read, and the growth per second over the readings in the tail."""

    t_ns: int
    values: dict[str, float]
    rates: dict[str, float]

    def value(self, name: str) -> float | None:
        """Return the newest value of a column, or None where none was read in the last seconds."""
        return self.values.get(name)

    def rate(self, name: str) -> float | None:
        """Return how fast a counter grows, per second, or None where the tail holds fewer than two readings."""
        return self.rates.get(name)

    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the GPUs with a recent value."""
        found = {name.partition("_")[0][3:] for name in self.values if name.startswith("gpu")}
        return tuple(sorted(int(number) for number in found if number.isdigit()))


def latest(path: Path) -> Latest | None:
    """Read the end of a recording; None where nothing can be read from it yet."""
    try:
        with path.open("rb") as file:
            header = file.readline().decode(errors="replace").rstrip("\n").split(",")
            start = file.tell()
            file.seek(max(file.seek(0, 2) - TAIL_BYTES, start))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    rows = [row for row in csv.reader(lines) if len(row) == len(header) and row[0].isdigit()]
    return _collect(header, rows) if rows else None


def _collect(header: list[str], rows: list[list[str]]) -> Latest:
    last_ns = int(rows[-1][0])
    first: dict[str, tuple[int, float]] = {}
    last: dict[str, tuple[int, float]] = {}
    for row in rows:
        t_ns = int(row[0])
        for name, cell in zip(header[1:], row[1:], strict=True):
            value = _number(cell)
            if value is not None:
                first.setdefault(name, (t_ns, value))
                last[name] = (t_ns, value)
    recent = {name: value for name, (t_ns, value) in last.items() if last_ns - t_ns <= STALE_S * 1e9}
    rates = {
        name: (last[name][1] - value) / ((last[name][0] - t_ns) / 1e9)
        for name, (t_ns, value) in first.items()
        if last[name][0] > t_ns and name in recent
    }
    return Latest(last_ns, recent, rates)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
