"""Readings that depend on the reading before: a GPU's performance monitor, sample buffers and virtual GPUs."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpuprobe.telemetry import nvml
from gpuprobe.telemetry.fields import Reading
from gpuprobe.telemetry.nvml import NvmlError, ask, constant
from gpuprobe.units import MIB, US_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.telemetry.facts import Instance

GPM_METRICS = {
    "gpm_graphics_percent": "NVML_GPM_METRIC_GRAPHICS_UTIL",
    "gpm_sm_percent": "NVML_GPM_METRIC_SM_UTIL",
    "gpm_occupancy_percent": "NVML_GPM_METRIC_SM_OCCUPANCY",
    "gpm_tensor_percent": "NVML_GPM_METRIC_ANY_TENSOR_UTIL",
    "gpm_dram_percent": "NVML_GPM_METRIC_DRAM_BW_UTIL",
    "gpm_fp64_percent": "NVML_GPM_METRIC_FP64_UTIL",
    "gpm_fp32_percent": "NVML_GPM_METRIC_FP32_UTIL",
    "gpm_fp16_percent": "NVML_GPM_METRIC_FP16_UTIL",
    "gpm_pcie_sent_mib_per_s": "NVML_GPM_METRIC_PCIE_TX_PER_SEC",
    "gpm_pcie_received_mib_per_s": "NVML_GPM_METRIC_PCIE_RX_PER_SEC",
    "gpm_nvlink_sent_mib_per_s": "NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC",
    "gpm_nvlink_received_mib_per_s": "NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC",
}
# nvml.h, nvmlGpmMetricsGet: two samples must be at least 100 ms apart.
GPM_LEAST_APART_S = 0.1
BUFFER_FIELDS = ("utilization_buffer_percent", "memory_utilization_buffer_percent")
VGPU_FIELDS = ("vgpus", "vgpu_memory_mib")
# The driver's buffer holds some 20 s. An older entry was not stamped by the host's clock.
OLDEST_SAMPLE_S = 120.0
# Unused entries of the buffer hold arbitrary numbers.
MOST_PERCENT = 100.0


def performance_monitor(instance: Instance | None = None) -> Reading:
    """Return a reading of SM utilization, occupancy, Tensor Core and link activity since the previous reading.

    It is of the whole GPU, or of one MIG instance, for which NVML gives no other utilization.
    """
    previous_sample: list[tuple[float, Any]] = []
    prefix = "" if instance is None else f"mig{instance.place}_"

    def read(gpu: Any) -> Sequence[float]:
        if not previous_sample and not nvml.gpm_supported(gpu):
            raise NvmlError("not_supported", "this GPU has no performance monitor (GPM came with Hopper)")
        now_s = time.monotonic()
        if previous_sample and now_s - previous_sample[0][0] < GPM_LEAST_APART_S:
            raise NvmlError("nothing_new", "too soon after the previous sample")
        previous_sample.append((now_s, nvml.gpm_sample(gpu, instance.number if instance else None)))
        if len(previous_sample) < 2:
            raise NvmlError("nothing_new", "there is no earlier sample to compare with")
        _, older_sample = previous_sample.pop(0)
        try:
            return nvml.gpm_between(older_sample, previous_sample[0][1], tuple(GPM_METRICS.values()))
        finally:
            with suppress(NvmlError):
                nvml.gpm_free(older_sample)

    return Reading(tuple(prefix + metric for metric in GPM_METRICS), read)


def mig_readings(mig: Instance) -> list[Reading]:
    """Return the readings of one MIG instance: its memory, and its performance monitor where its id is known."""
    memory_fields = (f"mig{mig.place}_memory_used_mib", f"mig{mig.place}_memory_total_mib")

    def read(_: Any) -> Sequence[float]:
        memory = ask("nvmlDeviceGetMemoryInfo", mig.handle)
        return memory.used / MIB, memory.total / MIB

    return [Reading(memory_fields, read), *([] if mig.number is None else [performance_monitor(mig)])]


def vgpu_readings() -> list[Reading]:
    """Return the readings of the virtual GPUs (vGPU) on a GPU: how many, their memory, and their share of the GPU."""
    seen_us = 0

    def memory(gpu: Any) -> Sequence[float]:
        vgpus = ask("nvmlDeviceGetActiveVgpus", gpu)
        return len(vgpus), sum(map(nvml.vgpu_memory, vgpus)) / MIB

    def utilization(gpu: Any) -> Sequence[float]:
        nonlocal seen_us
        samples = ask("nvmlDeviceGetVgpuUtilization", gpu, seen_us)
        percent_by_vgpu = {
            sample.vgpuInstance: sample.smUtil.uiVal
            for sample in sorted(samples, key=lambda taken_sample: taken_sample.timeStamp)
        }
        seen_us = max([seen_us, *(sample.timeStamp for sample in samples)])
        if not percent_by_vgpu:
            raise NvmlError("nothing_new", "no new sample")
        return (sum(percent_by_vgpu.values()),)

    return [Reading(VGPU_FIELDS, memory), Reading(("vgpu_sm_percent",), utilization)]


class SampleBuffer:
    """The driver's own samples of utilization, each with its time: one reading fills many rows."""

    def __init__(self, field: str, kind: str) -> None:
        self.fields: tuple[str, ...] = (field,)
        self._kind, self._seen_us = constant(kind), 0

    def read(self, gpu: Any) -> list[tuple[int, float]]:
        """Return (t_ns, percent) of the samples since the last call. Raises NvmlError."""
        value_kind, samples = ask("nvmlDeviceGetSamples", gpu, self._kind, self._seen_us)
        now_us = time.time_ns() // 1000
        stamped_values = [
            (sample.timeStamp, nvml.number_in_union(value_kind, sample.sampleValue)) for sample in samples
        ]
        new_values = [
            (t_us, percent)
            for t_us, percent in stamped_values
            if t_us > self._seen_us and abs(now_us - t_us) < OLDEST_SAMPLE_S * US_PER_S and 0 <= percent <= MOST_PERCENT
        ]
        if samples and not new_values and not self._seen_us:
            raise NvmlError(
                "not_supported",
                "the samples of the driver's buffer are not stamped by this host's clock, or are no percentages",
            )
        self._seen_us = max((t_us for t_us, _ in new_values), default=self._seen_us)
        return [(1000 * t_us, percent) for t_us, percent in new_values]


def sample_buffers() -> list[SampleBuffer]:
    """Return the readings of two sample buffers: the utilization of the GPU and of its memory."""
    kinds = ("NVML_GPU_UTILIZATION_SAMPLES", "NVML_MEMORY_UTILIZATION_SAMPLES")
    return [SampleBuffer(field, kind) for field, kind in zip(BUFFER_FIELDS, kinds, strict=True)]
