"""Follows a recording that is being written, for live views, exports and the progress bar, without numpy."""

from __future__ import annotations

import csv
import math
import re
import time
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.foreign import visible
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Bytes that hold some seconds of rows, slow fields included, on a machine with many GPUs.
TAIL_BYTES = 65536
# A value older than this is out of date; slow fields come once a second.
STALE_AFTER_NS = 5_000_000_000


class Follower:
    """Reads the new rows of a recording, and keeps the last value of every column with its time.

    Since the last `reset` it also keeps the mean of the column `averaged`, and the bits that any value of the column
    `flags` had set.
    """

    def __init__(self, path: Path, averaged: str = "", flags: str = "") -> None:
        self._path, self._offset, self._names = path, 0, list[str]()
        self._averaged, self._sum, self._count = averaged, 0.0, 0
        self._flags, self._set = flags, 0
        self.latest: dict[str, tuple[int, float]] = {}
        self.before: dict[str, tuple[int, float]] = {}
        self.said: list[str] = []

    def look(self, until_ns: int | None = None) -> bool:
        """Read the rows written since the last call; return whether there were any. A missing file has none.

        Rows later than `until_ns` do not count in the mean, nor in the flags.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return False
        complete_lines = content.rpartition(b"\n")[0]
        if not complete_lines:
            return False
        self._offset += len(complete_lines) + 1
        for csv_line in visible(complete_lines.decode(errors="replace")).split("\n"):
            self._take(csv_line, until_ns)
        return True

    def skip_to_tail(self) -> None:
        """Skip all rows but the last ones; the names of the columns are read."""
        try:
            with self._path.open("rb") as file:
                head = file.read(TAIL_BYTES)
                tail_start = max(0, file.seek(0, 2) - TAIL_BYTES)
                file.seek(tail_start)
                cut_line = file.readline() if tail_start else b""
        except OSError:
            return
        for csv_line in head.decode(errors="replace").split("\n")[:-1]:
            if csv_line.startswith("t_ns"):
                self._take(csv_line)
        self._offset = tail_start + len(cut_line)

    @property
    def t_ns(self) -> int | None:
        """When the newest value was read, None where none was."""
        return max((t_ns for t_ns, _ in self.latest.values()), default=None)

    @property
    def recent(self) -> dict[str, float]:
        """The values of all columns that are not out of date at the end of the recording."""
        newest = self.t_ns or 0
        return {name: value for name, (t_ns, value) in self.latest.items() if newest - t_ns <= STALE_AFTER_NS}

    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the GPUs with a recent value."""
        return tuple(sorted({int(match[1]) for name in self.recent if (match := re.match(r"gpu(\d+)_", name))}))

    def reset(self) -> None:
        """Begin a new mean and new flags; rows already written but not yet read do not count in them."""
        self.look()
        self._sum, self._count, self._set = 0.0, 0, 0

    def mean(self) -> float | None:
        """Return the mean of the averaged column since the last reset, None where nothing was read."""
        return self._sum / self._count if self._count else None

    def flags(self) -> int:
        """Return the bits that any reading since the last reset had set."""
        return self._set

    def value(self, column: str) -> float | None:
        """Return the last value of a column."""
        latest = self.latest.get(column)
        return latest[1] if latest else None

    def rate(self, column: str) -> float | None:
        """Return how fast a counter grew between its last two readings, per second."""
        latest, previous = self.latest.get(column), self.before.get(column)
        if latest is None or previous is None or latest[0] <= previous[0]:
            return None
        return (latest[1] - previous[1]) / ((latest[0] - previous[0]) / NS_PER_S)

    def _take(self, csv_line: str, until_ns: int | None = None) -> None:
        if not csv_line or csv_line.startswith("#"):
            return
        cells = next(csv.reader([csv_line]), [""]) if '"' in csv_line else csv_line.split(",")
        if cells[0] == "t_ns":
            self._names = cells
            return
        if not cells[0].isdigit() or len(cells) > len(self._names):
            return
        t_ns = int(cells[0])
        for column, cell in zip(self._names[1:], cells[1:], strict=False):
            if column == "said":
                self.said += cell.split("; ") if cell else []
            elif cell:
                value = _number(cell)
                if value is None:
                    continue
                if column in self.latest:
                    self.before[column] = self.latest[column]
                self.latest[column] = (t_ns, value)
                if until_ns is None or t_ns <= until_ns:
                    self._gather(column, value)

    def _gather(self, column: str, value: float) -> None:
        if column == self._averaged:
            self._sum, self._count = self._sum + value, self._count + 1
        elif column == self._flags:
            self._set |= int(value)


def _number(cell: str) -> float | None:
    """Return the number in a cell, None where nothing was read."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def load_now(path: Path, clock_ns: Callable[[], int] = time.time_ns) -> str:
    """Return in a few words how busy the machine is, from the last rows of a recording that is being written.

    It is empty where the last row is out of date: the sampler of a run that takes turns ended before its first.
    """
    follower = Follower(path)
    follower.skip_to_tail()
    follower.look()
    if follower.t_ns is None or clock_ns() - follower.t_ns > STALE_AFTER_NS:
        return ""
    gpu_percent, power_w = follower.value("gpu0_utilization_percent"), follower.value("gpu0_power_w")
    if gpu_percent is not None:
        return f"GPU 0: {gpu_percent:.0f} %" + (f", {power_w:.0f} W" if power_w is not None else "")
    busy_cores = follower.rate("tree_cpu_s")
    return f"CPU: {wording.significant(busy_cores, 2)} cores busy with the training" if busy_cores is not None else ""
