"""Reads all GPUs at a steady rate in a thread; where a driver call hangs, a new thread goes on with the other GPUs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.telemetry.states import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.telemetry.paced_reader import PacedReader, Sampled
    from gpuprobe.telemetry.writer import Writer

# After so long in one driver call a new thread goes on with the other GPUs.
LATE_AFTER_S = 0.25
# After so long a call is reported as hung; waking a sleeping card takes about one second.
HUNG_AFTER_S = 2.0
# All values of a row were read within this time of its time stamp; later ones go into another row.
ROW_SPAN_NS = 5_000_000


class Pace:
    """A schedule that does not drift: tick n is due at start + n periods.

    After missed ticks, one tick is due at once and the others are dropped.
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
    """Samples all GPUs at one rate. Another thread calls `watch`, which replaces a sampling thread that hangs."""

    def __init__(self, readers: Sequence[PacedReader], period_s: float, writer: Writer) -> None:
        self._feeds, self._period_s, self._writer = readers, period_s, writer
        # A lock that is held until the loop is to stop: waiting for it is as cheap as sleeping, and ends at once.
        self._stop = threading.Lock()
        self._stop.acquire()
        self._at: tuple[PacedReader, float] | None = None
        self._late: dict[PacedReader, float] = {}
        self._hung: set[PacedReader] = set()
        self._row = _Row()
        self._lock = threading.Lock()
        self._start()

    def watch(self) -> None:
        """Where a driver call hangs, start a new thread for the other GPUs, and write a notice after 2 s."""
        now_s = time.monotonic()
        with self._lock:
            current_call = self._at
            is_late = current_call is not None and now_s - current_call[1] > LATE_AFTER_S
            if current_call is not None and is_late:
                self._late[current_call[0]], self._at = current_call[1], None
                self._row.write(self._writer)
        if is_late:
            self._start()
        for reader, called_s in tuple(self._late.items()):
            if now_s - called_s > HUNG_AFTER_S and reader not in self._hung:
                self._hung.add(reader)
                hung_words = (
                    f"a call into the driver has not returned for {HUNG_AFTER_S:.0f} s, the readings wait for it"
                )
                self._writer.row(time.time_ns(), {}, say(reader.gpu.where, "driver_hung", hung_words))

    def stop(self, wait_s: float) -> None:
        """Take a last reading and end; wait at most `wait_s` seconds."""
        self._stop.release()
        self._thread.join(wait_s)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pace, stopping = Pace(self._period_s), False
        while self._visit_all() and not stopping:
            stopping = self._stop.acquire(timeout=pace.next_in_s())

    def _visit_all(self) -> bool:
        """Read all GPUs that answer; return False where another thread has taken over."""
        self._row = row = _Row()
        for reader in self._feeds:
            if reader in self._late:
                continue
            if time.time_ns() - row.t_ns > ROW_SPAN_NS:
                row.write(self._writer)
                self._row = row = _Row()
            current_call = self._at = (reader, time.monotonic())
            sampled = reader.visit(current_call[1])
            self._write_buffered(sampled)
            if sampled.facts:
                self._writer.facts(reader.gpu.where, sampled.facts)
            with self._lock:
                is_late = reader in self._late
                if not is_late:
                    self._at = None
                    row.values |= sampled.values
                    row.said += sampled.said
            if is_late:
                self._return(reader, sampled)
                return False
        row.write(self._writer)
        return True

    def _return(self, reader: PacedReader, sampled: Sampled) -> None:
        """After a late answer, return the GPU to the thread that took over.

        Values that took over 2 s are dropped, because the time at which they held is not known.
        """
        row = _Row(said=sampled.said)
        if reader in self._hung:
            self._hung.discard(reader)
            row.said.append(say(reader.gpu.where, "back", "the driver answers again"))
        else:
            row.values = sampled.values
        del self._late[reader]
        row.write(self._writer)

    def _write_buffered(self, sampled: Sampled) -> None:
        rows: dict[int, dict[str, float]] = {}
        for t_ns, name, value in sampled.buffered:
            rows.setdefault(t_ns, {})[name] = value
        for t_ns, values in sorted(rows.items()):
            self._writer.row(t_ns, values, "")


@dataclass
class _Row:
    """A row that is being filled; another thread may write it if this one hangs."""

    t_ns: int = field(default_factory=time.time_ns)
    values: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def write(self, writer: Writer) -> None:
        if self.values or self.said:
            writer.row(self.t_ns, self.values, "; ".join(self.said))
