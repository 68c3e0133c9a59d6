"""Which processes use a GPU, and how much of it: the observed process tree, others, and each one by its id."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from gpuprobe.telemetry.fields import Reading, first_supported
from gpuprobe.telemetry.nvml import NvmlError, ask
from gpuprobe.telemetry.states import FINAL_STATES, GPU_GONE, say
from gpuprobe.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.telemetry.proctree import TreeScan

PROCESS_FIELDS = ("processes", "tree_memory_mib", "other_processes", "other_memory_mib", "unseen_processes")
PROCESS_UTILIZATION_FIELDS = ("tree_sm_percent", "other_sm_percent")
# At most so many processes of a GPU get columns of their own, since a machine may start many in a day.
MOST_PROCESSES = 64
MOST_PERCENT = 100


class ProcessTable:
    """The processes that use a GPU: the observed tree, others of this host, and some not visible from this container.

    Each has columns named by its id: `process1234_memory_mib`, `process1234_sm_percent`. In a container the driver may
    give the host's process ids, so even the observed processes may not be found.
    """

    def __init__(self, where: str, tree: TreeScan) -> None:
        self._where, self._tree = where, tree
        self._names: dict[int, str | None] = {}
        self._numbered: set[int] = set()
        self._news: list[str] = []
        self._more: dict[str, float] = {}
        self._seen_us = 0
        self._compute = _running_processes("Compute")
        self._graphics: Callable[[Any], Sequence[Any]] | None = _running_processes("Graphics")
        self._samples = first_supported(
            lambda gpu: ask("nvmlDeviceGetProcessUtilization", gpu, self._seen_us),
            lambda gpu: ask("nvmlDeviceGetProcessesUtilizationInfo", gpu, self._seen_us),
        )

    def readings(self) -> list[Reading]:
        """Return the readings of the processes' memory and utilization."""
        return [
            Reading(PROCESS_FIELDS, self._memory, self._take_news, self._take_more),
            Reading(PROCESS_UTILIZATION_FIELDS, self._utilization, self._take_news, self._take_more),
        ]

    def _memory(self, gpu: Any) -> Sequence[float]:
        mib_by_pid: dict[int, float] = {}
        for process in [*self._compute(gpu), *self._graphics_or_none(gpu)]:
            # Under WDDM (Windows) the memory of a process is unknown, so sums over it are too.
            process_mib = math.nan if process.usedGpuMemory is None else process.usedGpuMemory / MIB
            mib_by_pid[process.pid] = (
                process_mib if process.pid not in mib_by_pid else max(mib_by_pid[process.pid], process_mib)
            )
        for pid, process_mib in mib_by_pid.items():
            self._number(pid, "memory_mib", process_mib)
        other_pids = [
            pid for pid in mib_by_pid if pid not in self._tree.pids and self._name(pid, mib_by_pid[pid]) is not None
        ]
        tree_pids = [pid for pid in mib_by_pid if pid in self._tree.pids]
        return (
            len(mib_by_pid),
            sum(mib_by_pid[pid] for pid in tree_pids),
            len(other_pids),
            sum(mib_by_pid[pid] for pid in other_pids),
            len(mib_by_pid) - len(other_pids) - len(tree_pids),
        )

    def _graphics_or_none(self, gpu: Any) -> Sequence[Any]:
        """Return the processes that draw graphics, none where the card does not support that."""
        if self._graphics is None:
            return ()
        try:
            return self._graphics(gpu)
        except NvmlError as error:
            if error.state in GPU_GONE:
                raise
            if error.state in FINAL_STATES:
                self._graphics = None
            return ()

    def _utilization(self, gpu: Any) -> Sequence[float]:
        samples = self._samples(gpu)
        self._seen_us = max([self._seen_us, *(sample.timeStamp for sample in samples)])
        samples_by_pid: dict[int, list[int]] = {}
        for sample in samples:
            if sample.smUtil <= MOST_PERCENT:
                samples_by_pid.setdefault(sample.pid, []).append(sample.smUtil)
        percent_by_pid = {
            pid: sum(process_samples) / len(process_samples) for pid, process_samples in samples_by_pid.items()
        }
        for pid, process_percent in percent_by_pid.items():
            self._number(pid, "sm_percent", process_percent)
        tree_percent = sum(process_percent for pid, process_percent in percent_by_pid.items() if pid in self._tree.pids)
        other_percent = sum(
            process_percent
            for pid, process_percent in percent_by_pid.items()
            if pid not in self._tree.pids and self._names.get(pid)
        )
        return tree_percent, other_percent

    def _number(self, pid: int, name: str, value: float) -> None:
        """Keep a value of one process, unless there are too many processes."""
        if pid not in self._numbered:
            if len(self._numbered) >= MOST_PROCESSES:
                return
            self._numbered.add(pid)
            if len(self._numbered) == MOST_PROCESSES:
                too_many_words = f"{MOST_PROCESSES} processes have used it: those after them are only counted"
                self._news.append(say(f"{self._where}.processes", "too_many", too_many_words))
        if not math.isnan(value):
            self._more[f"process{pid}_{name}"] = value

    def _name(self, pid: int, mib: float) -> str | None:
        """Return the name of a process outside the tree, with one notice for it; None where it is not visible."""
        if pid not in self._names:
            process_name = self._names[pid] = self._tree.name(pid)
            if process_name is not None:
                memory_held = (
                    "memory that the driver does not report" if math.isnan(mib) else f"{mib:.0f} MiB of its memory"
                )
                self._news.append(
                    say(self._where, "other_process", f"process {pid} ({process_name}) holds {memory_held}")
                )
        return self._names[pid]

    def _take_news(self) -> list[str]:
        news, self._news = self._news, []
        return news

    def _take_more(self) -> dict[str, float]:
        process_values, self._more = self._more, {}
        return process_values


def _running_processes(kind: str) -> Callable[[Any], Sequence[Any]]:
    """Return a function that lists the running processes by the newest of the call's versions that the driver knows."""
    calls = [f"nvmlDeviceGet{kind}RunningProcesses{version}" for version in ("_v3", "_v2")]
    return first_supported(*(partial(ask, call) for call in calls))
