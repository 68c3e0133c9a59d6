"""How the thread that trains uses the processor: it runs, is ready without a core, or sleeps, by the kernel's counters.

Source of the fields: proc(5), /proc/pid/task/tid/schedstat and status.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple

from gpuprobe.records import CoreUse
from gpuprobe.units import NS_PER_S

SLEEPS = "voluntary_ctxt_switches:"


class _Counters(NamedTuple):
    """What the kernel has counted so far of a thread: times in seconds, and how often it slept."""

    thread: int
    now_s: float
    cpu_s: float
    waited_s: float
    sleeps: int
    process_cpu_s: float


class CoreUseMeter:
    """Adds up the stretches between `begin` and `end`; one that ends in another thread than it began in is left out."""

    def __init__(self, proc: Path = Path("/proc/self/task")) -> None:
        self._proc = proc
        self._since: _Counters | None = None
        self._stretches: list[tuple[_Counters, _Counters]] = []

    def begin(self) -> None:
        """Begin a stretch; one that has begun goes on."""
        if self._since is None:
            self._since = self._read()

    def end(self) -> None:
        """End the stretch, if one has begun."""
        since, self._since = self._since, None
        now = self._read() if since is not None else None
        if since is not None and now is not None and now.thread == since.thread:
            self._stretches.append((since, now))

    @property
    def total(self) -> CoreUse | None:
        """The sum of all stretches that have ended; None where there is none, or the kernel does not count."""
        seconds = sum(end.now_s - begin.now_s for begin, end in self._stretches)
        cpu_s = sum(end.cpu_s - begin.cpu_s for begin, end in self._stretches)
        if seconds <= 0:
            return None
        return CoreUse(
            seconds=seconds,
            cpu_s=cpu_s,
            waited_s=sum(end.waited_s - begin.waited_s for begin, end in self._stretches),
            sleeps=sum(end.sleeps - begin.sleeps for begin, end in self._stretches),
            others_cpu_s=max(
                0.0, sum(end.process_cpu_s - begin.process_cpu_s for begin, end in self._stretches) - cpu_s
            ),
        )

    def _read(self) -> _Counters | None:
        thread = threading.get_native_id()
        own = self._proc / str(thread)
        try:
            ran_ns, waited_ns = (own / "schedstat").read_text().split()[:2]
            lines = (own / "status").read_text().splitlines()
            sleeps = next(int(line.removeprefix(SLEEPS)) for line in lines if line.startswith(SLEEPS))
        except (OSError, ValueError, StopIteration):
            return None
        times = (time.monotonic(), int(ran_ns) / NS_PER_S, int(waited_ns) / NS_PER_S)
        return _Counters(thread, *times, sleeps, time.process_time())
