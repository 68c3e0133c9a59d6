"""A clock that counts every moment of a process to one part of its run; callers report each change of part."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.records import Wall, WallPart
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.records import PartKind

Key = tuple["PartKind", str]
# For each part its total in nanoseconds, how often it occurred, and the sum of the squares of its seconds.
Tally = dict[Key, tuple[int, int, float]]
NONE_YET = (0, 0, 0.0)
# Linux's file with the start of the process, in ticks since boot; the command before it may hold spaces. Source:
# proc(5).
STAT = Path("/proc/self/stat")
END_OF_COMMAND, STARTED = ")", 19


class WallClock:
    """Times the parts of a process since `started_ns` (Unix ns).

    One part follows another without a gap, so they add up.
    """

    def __init__(self, kind: PartKind, started_ns: int | None = None) -> None:
        self._since_ns = time.time_ns() if started_ns is None else started_ns
        self._key: Key = (kind, "")
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

    def to(self, kind: PartKind, name: str = "", *, at_ns: int | None = None, times: int = 1) -> Key:
        """Begin a part, now or at an earlier time within the current part; return the part that ended.

        `times` is added to its count of occurrences: 0 continues an interrupted part.
        """
        now_ns = max(self._since_ns, time.time_ns() if at_ns is None else at_ns)
        former, self._key = self._key, (kind, name)
        took_ns = now_ns - self._since_ns
        self._add(former, took_ns, 0, (took_ns / NS_PER_S) ** 2)
        self._add(self._key, 0, times)
        self._since_ns = now_ns
        return former

    def back(self, former: Key) -> None:
        """Continue a part that was interrupted."""
        self.to(*former, times=0)

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
        """Move time from one part to another: all of it, or `took_ns` that was measured within it."""
        if source == self.kind:
            self.back(self._key)
        there = self._tally.get((source, ""), NONE_YET)[0]
        taken_ns = there if took_ns is None else min(took_ns, there)
        self._add((source, ""), -taken_ns, 0)
        self._add((kind, name), taken_ns, times, squares_s2)

    def told(self) -> Tally:
        """Return all parts up to `since_ns`."""
        return dict(self._tally)

    def tally(self) -> Tally:
        """Return all parts up to now."""
        self.back(self._key)
        return self.told()

    def wall(self, started_ns: int, before: Tally | None = None, *, complete: bool, steps_per_call: int = 1) -> Wall:
        """Return the whole-run breakdown since `started_ns`, when the tally was `before`."""
        parts = [
            WallPart(
                kind=key[0], name=key[1], total_ns=took[0] - had[0], times=took[1] - had[1], squares_s2=took[2] - had[2]
            )
            for key, took in self.tally().items()
            if (had := (before or {}).get(key, NONE_YET))[:2] != took[:2]
        ]
        return Wall(
            started_ns=started_ns,
            ended_ns=self._since_ns,
            parts=tuple(parts),
            complete=complete,
            steps_per_call=steps_per_call,
        )

    def _add(self, key: Key, took_ns: int, times: int, squares_s2: float = 0.0) -> None:
        total, had, squares = self._tally.get(key, NONE_YET)
        self._tally[key] = (total + took_ns, had + times, squares + squares_s2)


def process_started_ns() -> int:
    """Return when this process started (Unix ns), to 10 ms by Linux's count; the current time on other systems."""
    now_ns = time.time_ns()
    try:
        ticks = int(STAT.read_text().rpartition(END_OF_COMMAND)[2].split()[STARTED])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now_ns
    return now_ns - max(0, int(age_s * NS_PER_S))
