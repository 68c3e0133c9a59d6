"""What all planes of one XPlane file share: the trace's clock, its names, and its warnings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.wording import count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.traces.names import Names
    from gpuprobe.traces.planes import Line, Plane
    from gpuprobe.traces.timeline import Int64s

# The longest trace that is read, 26 days: then every sum of two times fits into int64 picoseconds.
LONGEST_PS = 2**61
# A clock beyond 1973 is Unix time; any other counts from the machine's or the profile's start.
UNIX_NS = 10**17
# Devices that are no GPUs, such as `/device:TPU:0`.
OTHERS = re.compile(r"/device:(?!GPU|CPU)")


@dataclass(frozen=True)
class Frame:
    """One file of the trace: `zero_ns` is the timeline's origin on this file's own clock."""

    path: Path
    host: str
    zero_ns: int
    names: Names
    warnings: list[str]

    def starts(self, plane: Plane, line: Line) -> Int64s:
        """Return the starts of a line's events, (n,) int64 ps after the timeline's origin.

        Raises InputError for times that no trace can have.
        """
        line_ps = (line.start_ns - self.zero_ns) * 1000
        events = line.events
        sizes = (abs(line_ps), *(_largest(column) for column in (events.offset_ps, events.duration_ps)))
        if len(events) and max(sizes) >= LONGEST_PS:
            days = max(sizes) / 86_400e12
            raise InputError(
                f"{self.path}: plane {plane.name}, line {line.name or line.id}: a time of {days:,.0f} days; "
                "the file is damaged, profile again"
            )
        return line_ps + events.offset_ps if len(events) else np.empty(0, np.int64)

    def backwards(self, plane: Plane, events: int) -> None:
        """Warn that so many events of a plane end before they begin, and are left out."""
        if events:
            where = f"{self.path.name}: plane {plane.name}"
            self.warnings.append(f"{where}: {count(events, 'event')} left out: the end lies before the beginning")


def _largest(column: Int64s) -> int:
    return max(int(column.max()), -int(column.min())) if len(column) else 0


def shift(first_ns: int, began_ns: int) -> tuple[int, bool]:
    """Return the ns to add to a file's times to make them Unix time, and whether they are that then.

    `first_ns` is the file's first time on its own clock, `began_ns` the Unix time from which that clock counts, 0
    where the file does not say.
    """
    added = 0 if first_ns >= UNIX_NS else began_ns
    unix = first_ns + added >= UNIX_NS
    return added if unix else 0, unix


def outer_first(start_ps: Int64s, duration_ps: Int64s) -> NDArray[np.intp] | None:
    """Return the order (n,) by start, the longest first where several start together; None where already sorted."""
    later = start_ps[1:] > start_ps[:-1]
    if (later | ((start_ps[1:] == start_ps[:-1]) & (duration_ps[1:] <= duration_ps[:-1]))).all():
        return None
    return np.lexsort((-duration_ps, start_ps))
