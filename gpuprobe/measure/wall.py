"""A clock that adds every moment of a process to one part of its run; callers tell it when a part begins."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.records import Wall, WallPart
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.records import PartKind

PartKey = tuple["PartKind", str]
# For each part its total in nanoseconds, how often it occurred, and the sum of the squares of its seconds.
Tally = dict[PartKey, tuple[int, int, float]]
NOTHING_COUNTED = (0, 0, 0.0)
# Linux's file with the start of the process, in ticks since boot; the command before it may hold spaces. Source:
# proc(5).
STAT = Path("/proc/self/stat")
END_OF_COMMAND, START_TIME_FIELD = ")", 19


class WallClock:
    """Times the parts of a process since `started_ns` (Unix ns).

    One part follows another without a gap, so they add up.
    """

    def __init__(self, kind: PartKind, started_ns: int | None = None) -> None:
        self._since_ns = time.time_ns() if started_ns is None else started_ns
        self._key: PartKey = (kind, "")
        self._tally: Tally = {}
        self._add(self._key, 0, 1)

    @property
    def kind(self) -> PartKind:
        """The current part."""
        return self._key[0]

    @property
    def name(self) -> str:
        """The name within the current part, such as that of a callback; empty for most."""
        return self._key[1]

    @property
    def since_ns(self) -> int:
        """When the current part began or was last counted (Unix ns)."""
        return self._since_ns

    def begin(self, kind: PartKind, name: str = "", *, at_ns: int | None = None, times: int = 1) -> PartKey:
        """Begin a part, now or at `at_ns` (Unix ns) within the current part; return the part that ended.

        `times` is added to the new part's count of occurrences: 0 continues an interrupted part.
        """
        now_ns = max(self._since_ns, time.time_ns() if at_ns is None else at_ns)
        former, self._key = self._key, (kind, name)
        part_ns = now_ns - self._since_ns
        self._add(former, part_ns, 0, (part_ns / NS_PER_S) ** 2)
        self._add(self._key, 0, times)
        self._since_ns = now_ns
        return former

    def resume(self, former: PartKey) -> None:
        """Continue a part that was interrupted."""
        self.begin(*former, times=0)

    def count(self, kind: PartKind, times: int, name: str = "") -> None:
        """Add to a part's count of occurrences."""
        self._add((kind, name), 0, times)

    def move(
        self,
        source: PartKind,
        kind: PartKind,
        name: str = "",
        *,
        took_ns: int | None = None,
        times: int,
        squares_s2: float = 0.0,
    ) -> None:
        """Move time from one part to another: all of the `source`, or `took_ns` that were measured within it."""
        if source == self.kind:
            self.resume(self._key)
        source_ns = self._tally.get((source, ""), NOTHING_COUNTED)[0]
        moved_ns = source_ns if took_ns is None else min(took_ns, source_ns)
        self._add((source, ""), -moved_ns, 0)
        self._add((kind, name), moved_ns, times, squares_s2)

    def tally_so_far(self) -> Tally:
        """Return the tally of all parts up to `since_ns`."""
        return dict(self._tally)

    def tally(self) -> Tally:
        """Return the tally of all parts up to now."""
        self.resume(self._key)
        return self.tally_so_far()

    def wall(self, started_ns: int, before: Tally | None = None, *, complete: bool, steps_per_call: int = 1) -> Wall:
        """Return the whole-run breakdown since `started_ns` (Unix ns), at which time the tally was `before`."""
        parts = [
            WallPart(
                kind=key[0],
                name=key[1],
                total_ns=totals[0] - totals_before[0],
                times=totals[1] - totals_before[1],
                squares_s2=totals[2] - totals_before[2],
            )
            for key, totals in self.tally().items()
            if (totals_before := (before or {}).get(key, NOTHING_COUNTED))[:2] != totals[:2]
        ]
        return Wall(
            started_ns=started_ns,
            ended_ns=self._since_ns,
            parts=tuple(parts),
            complete=complete,
            steps_per_call=steps_per_call,
        )

    def _add(self, key: PartKey, took_ns: int, times: int, squares_s2: float = 0.0) -> None:
        total_ns, times_before, squares_before = self._tally.get(key, NOTHING_COUNTED)
        self._tally[key] = (total_ns + took_ns, times_before + times, squares_before + squares_s2)


def process_started_ns() -> int:
    """Return when this process started (Unix ns), to 10 ms by Linux's count; the current time on other systems."""
    now_ns = time.time_ns()
    try:
        ticks = int(STAT.read_text().rpartition(END_OF_COMMAND)[2].split()[START_TIME_FIELD])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now_ns
    return now_ns - max(0, int(age_s * NS_PER_S))
