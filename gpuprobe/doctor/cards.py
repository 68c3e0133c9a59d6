"""The state of each GPU at rest and under load, from a recording that the sampler makes while the probe computes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe.doctor.facts import CardFacts

if TYPE_CHECKING:
    from gpuprobe.records import GpuInfo
    from gpuprobe.telemetry import Telemetry

# Reasons for reduced clocks under load (nvml.h, nvmlClocksEventReason*).
CLOCK_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


def cards(recording: Telemetry, gpus: tuple[GpuInfo, ...], start_ns: int, end_ns: int) -> tuple[CardFacts, ...]:
    """Return the state of each GPU between two times; empty without readings in that interval."""
    return tuple(
        _card_facts(recording, gpu, start_ns, end_ns) for gpu in gpus if _has_readings(recording, gpu, start_ns, end_ns)
    )


def _has_readings(recording: Telemetry, gpu: GpuInfo, start_ns: int, end_ns: int) -> bool:
    gpu_columns = [column for column in recording.columns if column.startswith(f"gpu{gpu.index}_")]
    return any(
        ((sample_times >= start_ns) & (sample_times <= end_ns)).any()
        for sample_times, _ in map(recording.series, gpu_columns)
    )


def _card_facts(recording: Telemetry, gpu: GpuInfo, start_ns: int, end_ns: int) -> CardFacts:
    def readings(field: str) -> list[float]:
        sample_times, field_values = recording.series(f"gpu{gpu.index}_{field}")
        return [float(fact_value) for fact_value in field_values[(sample_times >= start_ns) & (sample_times <= end_ns)]]

    def highest(field: str) -> float | None:
        return max(readings(field), default=None)

    def fact(fact_name: str) -> float | None:
        fact_value = gpu.facts.get(fact_name)
        return float(fact_value) if isinstance(fact_value, int | float) and not isinstance(fact_value, bool) else None

    reason_bits = 0
    for bits in readings("throttle_reasons"):
        reason_bits |= int(bits)
    return CardFacts(
        uuid=gpu.uuid,
        name=gpu.name,
        persistence=_switch(gpu, "persistence_mode"),
        mig=_switch(gpu, "mig_mode"),
        driver_model=str(gpu.facts.get("driver_model", "")),
        pcie_generation=highest("pcie_generation"),
        pcie_generation_max=fact("pcie_generation_max"),
        pcie_width=highest("pcie_width"),
        pcie_width_max=fact("pcie_width_max"),
        power_w=highest("power_w"),
        power_limit_w=highest("power_limit_w"),
        power_limit_default_w=fact("power_limit_default_w"),
        temperature_c=highest("temperature_c"),
        temperature_slowdown_c=fact("temperature_slowdown_c"),
        memory_used_mib=highest("memory_used_mib"),
        reasons=tuple(fact_name for bit, fact_name in CLOCK_REASONS.items() if reason_bits & bit),
        reasons_known=bool(readings("throttle_reasons")),
        others=highest("other_processes"),
        unseen=highest("unseen_processes"),
        programs=tuple(_programs(recording, gpu)),
    )


def _switch(gpu: GpuInfo, fact_name: str) -> bool | None:
    switch = gpu.facts.get(fact_name)
    return switch if isinstance(switch, bool) else None


def _programs(recording: Telemetry, gpu: GpuInfo) -> list[str]:
    """Return the sampler's notices about other processes: `process 7 (python) holds 2000 MiB of its memory`."""
    notices = (notice for _, notice in recording.said if notice.startswith(f"gpu{gpu.index}: other_process: "))
    return list(dict.fromkeys(re.sub(r"^.*other_process: ", "", notice) for notice in notices))
