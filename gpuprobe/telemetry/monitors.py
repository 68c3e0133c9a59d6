"""Readings of a GPU that remember the one before: its performance monitor, its sample buffer, its processes."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from gpuprobe.telemetry import nvml
from gpuprobe.telemetry.fields import MIB, Reading, first_of
from gpuprobe.telemetry.nvml import NvmlError, ask, constant
from gpuprobe.telemetry.states import GPU_GONE, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gpuprobe.telemetry.proctree import TreeScan

GPM_METRICS = {
    "gpm_graphics_percent": "NVML_GPM_METRIC_GRAPHICS_UTIL",
    "gpm_sm_percent": "NVML_GPM_METRIC_SM_UTIL",
    "gpm_occupancy_percent": "NVML_GPM_METRIC_SM_OCCUPANCY",
    "gpm_tensor_percent": "NVML_GPM_METRIC_ANY_TENSOR_UTIL",
    "gpm_dram_percent": "NVML_GPM_METRIC_DRAM_BW_UTIL",
    "gpm_fp64_percent": "NVML_GPM_METRIC_FP64_UTIL",
    "gpm_fp32_percent": "NVML_GPM_METRIC_FP32_UTIL",
    "gpm_fp16_percent": "NVML_GPM_METRIC_FP16_UTIL",
}
BUFFER_FIELDS = ("utilization_buffer_percent", "memory_utilization_buffer_percent")
PROCESS_FIELDS = ("processes", "tree_memory_mib", "other_processes", "other_memory_mib", "unseen_processes")
PROCESS_UTILIZATION_FIELDS = ("tree_sm_percent", "other_sm_percent")
# The driver's buffer goes back some 20 s; an entry of another age does not bear this host's time.
OLDEST_SAMPLE_S = 120.0
# Places of the buffer that were never filled hold anything.
MOST_PERCENT = 100.0


def performance_monitor() -> Reading:
    """Read SM utilization, occupancy and tensor activity over the time since the reading before."""
    before: list[Any] = []

    def read(gpu: Any) -> Sequence[float]:
        if not before and not nvml.gpm_supported(gpu):
            raise NvmlError("not_supported", "this GPU has no performance monitor (GPM came with Hopper)")
        before.append(nvml.gpm_sample(gpu))
        if len(before) < 2:
            raise NvmlError("nothing_new", "the first sample has nothing to be compared with")
        first = before.pop(0)
        try:
            return nvml.gpm_between(first, before[0], tuple(GPM_METRICS.values()))
        finally:
            with suppress(NvmlError):
                nvml.gpm_free(first)

    return Reading(tuple(GPM_METRICS), read)


class SampleBuffer:
    """The driver's own samples of the utilization, each with its time; a reading that fills many rows."""

    def __init__(self, field: str, kind: str) -> None:
        self.fields: tuple[str, ...] = (field,)
        self._kind, self._seen_us = constant(kind), 0

    def read(self, gpu: Any) -> list[tuple[int, float]]:
        """Return (t_ns, percent) of the samples since the last call. Raises NvmlError."""
        kind, samples = ask("nvmlDeviceGetSamples", gpu, self._kind, self._seen_us)
        now_us = time.time_ns() // 1000
        stamped = [(sample.timeStamp, nvml.number(kind, sample.sampleValue)) for sample in samples]
        found = [
            (t_us, value)
            for t_us, value in stamped
            if t_us > self._seen_us and abs(now_us - t_us) < OLDEST_SAMPLE_S * 1e6 and 0 <= value <= MOST_PERCENT
        ]
        if samples and not found and not self._seen_us:
            raise NvmlError(
                "not_supported",
                "the samples of the driver's buffer are of another time than this host's, or no percentages",
            )
        self._seen_us = max((t_us for t_us, _ in found), default=self._seen_us)
        return [(1000 * t_us, value) for t_us, value in found]


def sample_buffers() -> list[SampleBuffer]:
    """Return the readings of the two buffers, of the GPU's and of its memory's utilization."""
    kinds = ("NVML_GPU_UTILIZATION_SAMPLES", "NVML_MEMORY_UTILIZATION_SAMPLES")
    return [SampleBuffer(field, kind) for field, kind in zip(BUFFER_FIELDS, kinds, strict=True)]


class ProcessTable:
    """Who uses a GPU: the observed tree, other processes of this host, and some that are not visible from here.

    In a container the driver names processes by the numbers of its host, so that even one's own can be unseen.
    """

    def __init__(self, where: str, tree: TreeScan) -> None:
        self._where, self._tree = where, tree
        self._names: dict[int, str | None] = {}
        self._news: list[str] = []
        self._seen_us = 0
        self._compute, self._graphics = _running("Compute"), _running("Graphics")

    def readings(self) -> list[Reading]:
        """Return the readings of the memory and of the utilization of processes."""
        return [
            Reading(PROCESS_FIELDS, self._memory, self._drain),
            Reading(PROCESS_UTILIZATION_FIELDS, self._utilization),
        ]

    def _memory(self, gpu: Any) -> Sequence[float]:
        used: dict[int, float] = {}
        for process in [*self._compute(gpu), *self._graphics_or_none(gpu)]:
            # Under WDDM the driver does not know how much a process holds.
            used[process.pid] = max(used.get(process.pid, 0.0), (process.usedGpuMemory or 0) / MIB)
        others = [pid for pid in used if pid not in self._tree.pids and self._name(pid, used[pid]) is not None]
        own = [pid for pid in used if pid in self._tree.pids]
        return (
            len(used),
            sum(used[pid] for pid in own),
            len(others),
            sum(used[pid] for pid in others),
            len(used) - len(others) - len(own),
        )

    def _graphics_or_none(self, gpu: Any) -> Sequence[Any]:
        """Not every card draws pictures; what it computes is told all the same."""
        try:
            return self._graphics(gpu)
        except NvmlError as error:
            if error.state in GPU_GONE:
                raise
            return ()

    def _utilization(self, gpu: Any) -> Sequence[float]:
        samples = ask("nvmlDeviceGetProcessUtilization", gpu, self._seen_us)
        self._seen_us = max([self._seen_us, *(sample.timeStamp for sample in samples)])
        by_pid: dict[int, list[int]] = {}
        for sample in samples:
            by_pid.setdefault(sample.pid, []).append(sample.smUtil)
        means = {pid: sum(values) / len(values) for pid, values in by_pid.items()}
        own = sum(mean for pid, mean in means.items() if pid in self._tree.pids)
        others = sum(mean for pid, mean in means.items() if pid not in self._tree.pids and self._names.get(pid))
        return own, others

    def _name(self, pid: int, mib: float) -> str | None:
        """Return the name of a process outside the tree, and have it told once; None where it is not visible."""
        if pid not in self._names:
            name = self._names[pid] = self._tree.name(pid)
            if name is not None:
                words = f"process {pid} ({name}) holds {mib:.0f} MiB of its memory"
                self._news.append(say(self._where, "other_process", words))
        return self._names[pid]

    def _drain(self) -> list[str]:
        news, self._news = self._news, []
        return news


def _running(kind: str) -> Callable[[Any], Sequence[Any]]:
    """Ask by the newest version of the call that this driver knows: it has changed with the driver three times."""
    calls = [f"nvmlDeviceGet{kind}RunningProcesses{version}" for version in ("_v3", "_v2")]
    return first_of(*(partial(ask, call) for call in calls))
