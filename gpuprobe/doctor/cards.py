"""The state of each GPU at rest and under load, by a recording of the sampler during the child's computing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe.doctor.facts import CardFacts

if TYPE_CHECKING:
    from gpuprobe.records import GpuInfo
    from gpuprobe.telemetry import Telemetry

# Reasons for reduced clocks under load (nvml.h, nvmlClocksEventReason*).
REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


def cards(recording: Telemetry, gpus: tuple[GpuInfo, ...], start_ns: int, end_ns: int) -> tuple[CardFacts, ...]:
    """Return the state of each GPU between two times; empty without readings in that interval."""
    return tuple(_card(recording, gpu, start_ns, end_ns) for gpu in gpus if _was_read(recording, gpu, start_ns, end_ns))


def _was_read(recording: Telemetry, gpu: GpuInfo, start_ns: int, end_ns: int) -> bool:
    names = [name for name in recording.columns if name.startswith(f"gpu{gpu.index}_")]
    return any(((times >= start_ns) & (times <= end_ns)).any() for times, _ in map(recording.series, names))


def _card(recording: Telemetry, gpu: GpuInfo, start_ns: int, end_ns: int) -> CardFacts:
    def readings(field: str) -> list[float]:
        times, values = recording.series(f"gpu{gpu.index}_{field}")
        return [float(value) for value in values[(times >= start_ns) & (times <= end_ns)]]

    def most(field: str) -> float | None:
        return max(readings(field), default=None)

    def fact(name: str) -> float | None:
        value = gpu.facts.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    reasons = 0
    for bits in readings("throttle_reasons"):
        reasons |= int(bits)
    return CardFacts(
        uuid=gpu.uuid,
        name=gpu.name,
        persistence=_switch(gpu, "persistence_mode"),
        mig=_switch(gpu, "mig_mode"),
        driver_model=str(gpu.facts.get("driver_model", "")),
        pcie_generation=most("pcie_generation"),
        pcie_generation_max=fact("pcie_generation_max"),
        pcie_width=most("pcie_width"),
        pcie_width_max=fact("pcie_width_max"),
        power_w=most("power_w"),
        power_limit_w=most("power_limit_w"),
        power_limit_default_w=fact("power_limit_default_w"),
        temperature_c=most("temperature_c"),
        temperature_slowdown_c=fact("temperature_slowdown_c"),
        memory_used_mib=most("memory_used_mib"),
        reasons=tuple(name for bit, name in REASONS.items() if reasons & bit),
        reasons_known=bool(readings("throttle_reasons")),
        others=most("other_processes"),
        unseen=most("unseen_processes"),
        programs=tuple(_programs(recording, gpu)),
    )


def _switch(gpu: GpuInfo, name: str) -> bool | None:
    value = gpu.facts.get(name)
    return value if isinstance(value, bool) else None


def _programs(recording: Telemetry, gpu: GpuInfo) -> list[str]:
    """Return the sampler's notices about other processes: `process 7 (python) holds 2000 MiB of its memory`."""
    notices = (words for _, words in recording.said if words.startswith(f"gpu{gpu.index}: other_process: "))
    return list(dict.fromkeys(re.sub(r"^.*other_process: ", "", words) for words in notices))
