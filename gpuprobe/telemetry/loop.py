"""Visits all GPUs at a steady pace in a thread of its own, so that a call that blocks in the driver stops no other."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.telemetry.states import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.telemetry.gpu import PacedReader, Sampled
    from gpuprobe.telemetry.writer import Writer

# A visit that takes longer is left to its thread, and the other GPUs are visited by a new one.
LATE_AFTER_S = 0.25
# No healthy call takes that long; waking a sleeping card takes about one second.
HUNG_AFTER_S = 2.0
# The values of one row were read within so long of its time stamp; what takes longer gets a row of its own.
ROW_SPAN_NS = 5_000_000


class Pace:
    """A schedule that does not drift: tick n is due at start + n periods.

    Of ticks that were missed the last comes at once, the others never.
    """

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s, self._clock = period_s, clock
        self._start_s, self._tick = clock(), 0

    def next_in_s(self) -> float:
        """Return how long to wait for the next tick."""
        now_s = self._clock()
        self._tick = max(self._tick + 1, int((now_s - self._start_s) / self._period_s))
        return max(0.0, self._start_s + self._tick * self._period_s - now_s)


class Loop:
    """One pace of sampling over all GPUs. `watch` is called by another thread and takes over from one that hangs."""

    def __init__(self, feeds: Sequence[PacedReader], period_s: float, writer: Writer) -> None:
        self._feeds, self._period_s, self._writer = feeds, period_s, writer
        # Held until it is time to stop: waiting for it is as cheap as sleep, and wakes at once.
        self._stop = threading.Lock()
        self._stop.acquire()
        self._at: tuple[PacedReader, float] | None = None
        self._late: dict[PacedReader, float] = {}
        self._hung: set[PacedReader] = set()
        self._row = _Row()
        self._lock = threading.Lock()
        self._start()

    def watch(self) -> None:
        """Leave a GPU whose driver does not answer to its thread, go on with the others in a new one, and name it."""
        now_s = time.monotonic()
        with self._lock:
            at = self._at
            late = at is not None and now_s - at[1] > LATE_AFTER_S
            if at is not None and late:
                self._late[at[0]], self._at = at[1], None
                self._row.write(self._writer)
        if late:
            self._start()
        for feed, since_s in tuple(self._late.items()):
            if now_s - since_s > HUNG_AFTER_S and feed not in self._hung:
                self._hung.add(feed)
                words = f"a call into the driver has not returned for {HUNG_AFTER_S:.0f} s, the readings wait for it"
                self._writer.row(time.time_ns(), {}, say(feed.gpu.where, "driver_hung", words))

    def stop(self, wait_s: float) -> None:
        """Take a last reading and end; one that hangs is not waited for."""
        self._stop.release()
        self._thread.join(wait_s)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pace, last = Pace(self._period_s), False
        while self._visit_all() and not last:
            last = self._stop.acquire(timeout=pace.next_in_s())

    def _visit_all(self) -> bool:
        """Visit the GPUs that answer; return False where another thread has taken over meanwhile."""
        self._row = row = _Row()
        for feed in self._feeds:
            if feed in self._late:
                continue
            if time.time_ns() - row.t_ns > ROW_SPAN_NS:
                row.write(self._writer)
                self._row = row = _Row()
            at = self._at = (feed, time.monotonic())
            sampled = feed.visit(at[1])
            self._write_buffered(sampled)
            if sampled.facts:
                self._writer.facts(feed.gpu.where, sampled.facts)
            with self._lock:
                late = feed in self._late
                if not late:
                    self._at = None
                    row.values |= sampled.values
                    row.said += sampled.said
            if late:
                self._return(feed, sampled)
                return False
        row.write(self._writer)
        return True

    def _return(self, feed: PacedReader, sampled: Sampled) -> None:
        """Hand a GPU that was late to the thread that has taken over. What took long has no known time."""
        row = _Row(said=sampled.said)
        if feed in self._hung:
            self._hung.discard(feed)
            row.said.append(say(feed.gpu.where, "back", "the driver answers again"))
        else:
            row.values = sampled.values
        del self._late[feed]
        row.write(self._writer)

    def _write_buffered(self, sampled: Sampled) -> None:
        rows: dict[int, dict[str, float]] = {}
        for t_ns, name, value in sampled.buffered:
            rows.setdefault(t_ns, {})[name] = value
        for t_ns, values in sorted(rows.items()):
            self._writer.row(t_ns, values, "")


@dataclass
class _Row:
    """A row while it is filled; another thread may write it where this one hangs."""

    t_ns: int = field(default_factory=time.time_ns)
    values: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def write(self, writer: Writer) -> None:
        if self.values or self.said:
            writer.row(self.t_ns, self.values, "; ".join(self.said))
