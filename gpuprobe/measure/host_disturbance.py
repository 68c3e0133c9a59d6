"""Detects what disturbed the host during a run's turn: other programs, swapping, reduced clocks."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from gpuprobe import wording
from gpuprobe.thresholds import fixed
from gpuprobe.units import MIB


@dataclass(frozen=True)
class Counters:
    """Counters at one moment: CPU seconds of all processes and of ours, MiB swapped in, and the clock in MHz."""

    now_s: float
    busy_s: float
    own_s: float
    swapped_mib: float
    clock_mhz: float | None


class HostDisturbance:
    """Compares counters read before and after a turn; the clock is compared with the fastest one read so far."""

    def __init__(self) -> None:
        affinity = psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity") else None
        self._cores = affinity or list(range(psutil.cpu_count() or 1))
        self._fastest_mhz = 0.0

    def read_counters(self, *pids: int) -> Counters:
        """Read the counters; ours are those of the processes `pids`, of what they started, and of this one."""
        clock_mhz = _clock_mhz()
        self._fastest_mhz = max(self._fastest_mhz, clock_mhz or 0.0)
        times = psutil.cpu_times(percpu=True)
        busy_s = sum(
            sum(core) - core.idle - getattr(core, "iowait", 0.0) - getattr(core, "guest", 0.0)
            for number, core in enumerate(times)
            if number in self._cores
        )
        own_s = sum(map(_tree_s, pids)) + sum(os.times()[:2])
        return Counters(time.monotonic(), busy_s, own_s, psutil.swap_memory().sin / MIB, clock_mhz)

    def disturbance(self, before: Counters, after: Counters) -> str:
        """Return what disturbed the turn between two readings, empty where nothing did."""
        block_s = after.now_s - before.now_s
        foreign_cores = max(0.0, (after.busy_s - before.busy_s - (after.own_s - before.own_s)) / block_s)
        disturbances = []
        if foreign_cores >= fixed.FOREIGN_SHARE * len(self._cores):
            disturbances.append(
                f"others took {wording.significant(foreign_cores, 2)} of {wording.count(len(self._cores), 'processor')}"
            )
        if after.swapped_mib - before.swapped_mib >= fixed.SWAPPED_MIB:
            disturbances.append("memory was short and was swapped in")
        if after.clock_mhz and after.clock_mhz <= (1 - fixed.HOST_CLOCK_DOWN) * self._fastest_mhz:
            disturbances.append(f"the processors' clock had fallen to {wording.significant(after.clock_mhz)} MHz")
        return "; ".join(disturbances)


def _tree_s(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants; a parent's count includes its ended children."""
    cpu_s = 0.0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for child_process in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                cpu_times = child_process.cpu_times()
                cpu_s += cpu_times.user + cpu_times.system + cpu_times.children_user + cpu_times.children_system
    return cpu_s


def _clock_mhz() -> float | None:
    """Return the mean clock of the processors in MHz, None where the system does not give it."""
    with suppress(OSError, RuntimeError, AttributeError, NotImplementedError):
        frequency = psutil.cpu_freq()
        return frequency.current if frequency and frequency.current else None
    return None
