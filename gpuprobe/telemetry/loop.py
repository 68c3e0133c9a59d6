"""Visits all GPUs at a steady pace in a thread of its own, so that a call that blocks in the driver stops no other."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from gpuprobe.telemetry.states import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.telemetry.gpu import Feed, Sampled
    from gpuprobe.telemetry.writer import Writer

# No healthy call takes that long; waking a sleeping card takes about one second.
HUNG_AFTER_S = 2.0
# The values of one row were read within so long of its time stamp; what takes longer gets a row of its own.
ROW_SPAN_NS = 5_000_000


class Pace:
    """A schedule that does not drift: tick n is due at start + n periods, and one that was missed is left out."""

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s, self._clock = period_s, clock
        self._start_s, self._tick = clock(), 0

    def next_in_s(self) -> float:
        """Return how long to wait for the next tick that has not passed yet."""
        now_s = self._clock()
        self._tick = max(self._tick + 1, int((now_s - self._start_s) / self._period_s))
        return max(0.0, self._start_s + self._tick * self._period_s - now_s)


class Loop:
    """One pace of sampling over all GPUs. `watch` is called by another thread and takes over from one that hangs."""

    def __init__(self, feeds: Sequence[Feed], period_s: float, writer: Writer) -> None:
        self._feeds, self._period_s, self._writer = feeds, period_s, writer
        self._stop = threading.Event()
        self._hung: set[Feed] = set()
        self._at: tuple[Feed, float] | None = None
        self._thread = self._started()

    def watch(self) -> None:
        """Leave a GPU whose driver does not answer to its thread, and go on with the others in a new one."""
        at = self._at
        if at is None or time.monotonic() - at[1] < HUNG_AFTER_S or at[0] in self._hung:
            return
        feed = at[0]
        self._hung.add(feed)
        self._thread = self._started()
        words = f"a call into the driver has not returned for {HUNG_AFTER_S:.0f} s, its readings stop until it does"
        self._writer.row(time.time_ns(), {}, say(feed.gpu.where, "driver_hung", words))

    def stop(self, wait_s: float) -> None:
        """Take a last reading and end; one that hangs is not waited for."""
        self._stop.set()
        self._thread.join(wait_s)

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, daemon=True)
        self._thread = thread
        thread.start()
        return thread

    def _run(self) -> None:
        pace, me = Pace(self._period_s), threading.current_thread()
        last = False
        while True:
            if not self._visit_all(me):
                return
            if last:
                return
            last = self._stop.wait(pace.next_in_s())

    def _visit_all(self, me: threading.Thread) -> bool:
        """Visit the GPUs that answer; return False where another thread has taken over meanwhile."""
        t_ns, values, said = time.time_ns(), dict[str, float](), list[str]()
        for feed in self._feeds:
            if feed in self._hung:
                continue
            if time.time_ns() - t_ns > ROW_SPAN_NS:
                self._row(t_ns, values, said)
                t_ns, values, said = time.time_ns(), {}, []
            now_s = time.monotonic()
            self._at = (feed, now_s)
            sampled = feed.visit(now_s)
            if self._thread is not me:
                self._hung.discard(feed)
                self._writer.row(time.time_ns(), {}, say(feed.gpu.where, "back", "the driver answers again"))
                return False
            self._at = None
            values |= {f"{feed.gpu.where}_{name}": value for name, value in sampled.values.items()}
            said += sampled.said
            self._write_buffered(feed, sampled)
        self._row(t_ns, values, said)
        return True

    def _row(self, t_ns: int, values: dict[str, float], said: list[str]) -> None:
        if values or said:
            self._writer.row(t_ns, values, "; ".join(said))

    def _write_buffered(self, feed: Feed, sampled: Sampled) -> None:
        rows: dict[int, dict[str, float]] = {}
        for t_ns, name, value in sampled.buffered:
            rows.setdefault(t_ns, {})[f"{feed.gpu.where}_{name}"] = value
        for t_ns, values in sorted(rows.items()):
            self._writer.row(t_ns, values, "")
