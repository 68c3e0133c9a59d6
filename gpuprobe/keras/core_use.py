"""Measures how the training thread uses the processor: how long it runs or waits for a core, and how often it sleeps.

Source of the fields: proc(5), /proc/pid/task/tid/schedstat and status.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple

from gpuprobe.records import CoreUse
from gpuprobe.units import NS_PER_S

SLEEPS_FIELD = "voluntary_ctxt_switches:"


class _Counters(NamedTuple):
    """The kernel's counters of one thread, times in seconds; `process_cpu_s` is that of all threads."""

    thread: int
    now_s: float
    cpu_s: float
    waited_s: float
    sleeps: int
    process_cpu_s: float


class CoreUseMeter:
    """Adds up the intervals between `begin` and `end`; one that ends in another thread than it began in is left out."""

    def __init__(self, proc: Path = Path("/proc/self/task")) -> None:
        self._proc = proc
        self._at_begin: _Counters | None = None
        self._intervals: list[tuple[_Counters, _Counters]] = []

    def begin(self) -> None:
        """Begin an interval; one that has begun goes on."""
        if self._at_begin is None:
            self._at_begin = self._read()

    def end(self) -> None:
        """End the interval, if one has begun."""
        at_begin, self._at_begin = self._at_begin, None
        at_end = self._read() if at_begin is not None else None
        if at_begin is not None and at_end is not None and at_end.thread == at_begin.thread:
            self._intervals.append((at_begin, at_end))

    @property
    def total(self) -> CoreUse | None:
        """The sum of all intervals that have ended; None where there is none, or the kernel does not count."""
        interval_s = sum(end.now_s - begin.now_s for begin, end in self._intervals)
        cpu_s = sum(end.cpu_s - begin.cpu_s for begin, end in self._intervals)
        if interval_s <= 0:
            return None
        return CoreUse(
            seconds=interval_s,
            cpu_s=cpu_s,
            waited_s=sum(end.waited_s - begin.waited_s for begin, end in self._intervals),
            sleeps=sum(end.sleeps - begin.sleeps for begin, end in self._intervals),
            others_cpu_s=max(
                0.0, sum(end.process_cpu_s - begin.process_cpu_s for begin, end in self._intervals) - cpu_s
            ),
        )

    def _read(self) -> _Counters | None:
        thread = threading.get_native_id()
        thread_folder = self._proc / str(thread)
        try:
            cpu_ns, waited_ns = (thread_folder / "schedstat").read_text().split()[:2]
            lines = (thread_folder / "status").read_text().splitlines()
            sleeps = next(int(line.removeprefix(SLEEPS_FIELD)) for line in lines if line.startswith(SLEEPS_FIELD))
        except (OSError, ValueError, StopIteration):
            return None
        times = (time.monotonic(), int(cpu_ns) / NS_PER_S, int(waited_ns) / NS_PER_S)
        return _Counters(thread, *times, sleeps, time.process_time())
