"""A clock that gives every moment of a process to one part of its run: what goes on is told when it changes."""

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
# The total in nanoseconds of each part so far, and how often it came.
Tally = dict[Key, tuple[int, int]]
# Where Linux tells when a process started, in ticks since boot; the command before it may hold spaces. Source: proc(5).
STAT = Path("/proc/self/stat")
AFTER_COMMAND, STARTED = ")", 19


class WallClock:
    """What goes on since `started_ns`, and how long each part has taken; that they add up lies in how they are made."""

    def __init__(self, kind: PartKind, started_ns: int | None = None) -> None:
        self._since_ns = time.time_ns() if started_ns is None else started_ns
        self._key: Key = (kind, "")
        self._tally: Tally = {}
        self._add(self._key, 0, 1)

    @property
    def kind(self) -> PartKind:
        """What goes on now."""
        return self._key[0]

    @property
    def name(self) -> str:
        """The name of the callback that goes on, where it is one."""
        return self._key[1]

    @property
    def since_ns(self) -> int:
        """When it began, or was last looked at."""
        return self._since_ns

    def to(self, kind: PartKind, name: str = "", *, at_ns: int | None = None, times: int = 1) -> Key:
        """Begin a part, now or at an earlier time that lies in the part that went on; return that one.

        `times` is added to how often it came: with 0, one goes on that was left for a moment.
        """
        now_ns = max(self._since_ns, time.time_ns() if at_ns is None else at_ns)
        former, self._key = self._key, (kind, name)
        self._add(former, now_ns - self._since_ns, 0)
        self._add(self._key, 0, times)
        self._since_ns = now_ns
        return former

    def back(self, former: Key) -> None:
        """Go on with a part that was left for a moment."""
        self.to(*former, times=0)

    def count(self, kind: PartKind, times: int, name: str = "") -> None:
        """Add to how often a part came."""
        self._add((kind, name), 0, times)

    def move(self, source: PartKind, kind: PartKind, name: str = "", *, took_ns: int | None = None, times: int) -> None:
        """Give time of a part to another, as far as it has so much: what was measured within it, or all of it."""
        if source == self.kind:
            self.back(self._key)
        there = self._tally.get((source, ""), (0, 0))[0]
        taken_ns = there if took_ns is None else min(took_ns, there)
        self._add((source, ""), -taken_ns, 0)
        self._add((kind, name), taken_ns, times)

    def told(self) -> Tally:
        """Return all parts up to `since_ns`."""
        return dict(self._tally)

    def tally(self) -> Tally:
        """Return all parts up to now."""
        self.back(self._key)
        return self.told()

    def wall(self, started_ns: int, before: Tally | None = None, *, complete: bool, steps_per_call: int = 1) -> Wall:
        """Return what has passed since `started_ns`, when the tally was as `before`."""
        parts = [
            WallPart(kind=key[0], name=key[1], total_ns=total - had[0], times=times - had[1])
            for key, (total, times) in self.tally().items()
            if (had := (before or {}).get(key, (0, 0))) != (total, times)
        ]
        return Wall(
            started_ns=started_ns,
            ended_ns=self._since_ns,
            parts=tuple(parts),
            complete=complete,
            steps_per_call=steps_per_call,
        )

    def _add(self, key: Key, took_ns: int, times: int) -> None:
        total, had = self._tally.get(key, (0, 0))
        self._tally[key] = (total + took_ns, had + times)


def process_started_ns() -> int:
    """Return when this process started, by Linux's own count to a hundredth of a second; now where nobody tells."""
    now_ns = time.time_ns()
    try:
        ticks = int(STAT.read_text().rpartition(AFTER_COMMAND)[2].split()[STARTED])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now_ns
    return now_ns - max(0, int(age_s * NS_PER_S))
