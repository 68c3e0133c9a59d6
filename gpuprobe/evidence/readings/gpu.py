"""What one GPU did in a stretch: how busy it was, its memory, its link and its clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.evidence.readings.figures import HOST, NVML, level_of, missing, share_of, why_missing
from gpuprobe.evidence.readings.stretch import Stretch, percentile
from gpuprobe.records import Signal
from gpuprobe.telemetry.signals import THROTTLE_REASONS, THROTTLED_MASK
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.records import GpuInfo, Watch
    from gpuprobe.telemetry import Telemetry

# Apart from heat: a card that is used well may reach the power limit that software sets.
POWER_CAP = THROTTLE_REASONS["power_cap"]
HEAT = THROTTLED_MASK & ~POWER_CAP


def busy_column(recording: Telemetry, prefix: str) -> str:
    """Return the column of how busy the GPU was: its utilization, else the graphics engine (DCGM)."""
    nvml, engine = prefix + "utilization_percent", prefix + "gpm_graphics_percent"
    return engine if nvml not in recording.columns and engine in recording.columns else nvml


def utilization(stretch: Stretch, prefix: str) -> tuple[Signal, ...]:
    """Return how busy the GPU was: mean, percentiles and the share in which it idled; also its SMs, where recorded."""
    column = busy_column(stretch.recording, prefix)
    values, seconds = stretch.weighted(column)
    source = NVML if column.endswith("utilization_percent") else "DCGM, graphics engine"
    names = (*(f"utilization_p{at}_percent" for at in (5, 50, 95)), "utilization_idle_fraction")
    if not len(values) or not seconds.sum():
        why = why_missing(stretch, column)
        return tuple(missing(name, "%", NVML, why) for name in ("utilization_percent", *names))
    figures = [percentile(values, seconds, at) for at in (5, 50, 95)]
    figures.append(float(np.average(values < fixed.IDLE_BELOW_PERCENT, weights=seconds)))
    busy = (
        level_of(stretch, column, "utilization_percent", "%", source=source),
        *(
            Signal(name=name, unit="%" if "percent" in name else "1", source=source, value=figure, n=len(values))
            for name, figure in zip(names, figures, strict=True)
        ),
    )
    sm = prefix + "gpm_sm_percent"
    if sm not in stretch.recording.columns:
        return busy
    return (*busy, level_of(stretch, sm, "sm_active_percent", "%", source="SM activity"))


def host_while_idle(stretch: Stretch, watch: Watch, prefix: str) -> tuple[Signal, ...]:
    """Return the shares of the time in which the GPU idled while all cores were full, or one waited for a disk."""
    gpu = stretch.level(busy_column(stretch.recording, prefix))
    cores, waiting = stretch.rate("tree_cpu_s"), stretch.rate("iowait_s")
    idle = gpu < fixed.IDLE_BELOW_PERCENT
    source = f"{NVML} and {HOST}"
    full = idle & (cores > fixed.CPU_FULL * watch.cpu_limit) if watch.cpu_limit else idle & np.isnan(idle)
    return (
        share_of(full, gpu + cores, "cpu_full_gpu_idle_fraction", source),
        share_of(idle & (waiting >= fixed.IOWAIT_CORES), gpu + waiting, "iowait_gpu_idle_fraction", source),
    )


def memory(stretch: Stretch, prefix: str, total_mib: float | None) -> tuple[Signal, ...]:
    """Return the peak of the memory in use, with the least in use as `low`, and its largest jump between readings."""
    _, used = stretch.inside(prefix + "memory_used_mib")
    names = ("memory_peak_mib", "memory_peak_fraction", "memory_jump_fraction")
    if not len(used):
        why = why_missing(stretch, prefix + "memory_used_mib")
        return tuple(missing(name, "MiB" if "mib" in name else "1", NVML, why) for name in names)
    peak = Signal(name=names[0], unit="MiB", source=NVML, value=float(used.max()), low=float(used.min()), n=len(used))
    if not total_mib:
        return (peak, *(missing(name, "1", NVML, "how much memory the card has is not known") for name in names[1:]))
    jump = float(np.diff(used).max(initial=0)) / total_mib
    return (
        peak,
        Signal(name=names[1], unit="1", source=NVML, value=float(used.max()) / total_mib, n=len(used)),
        Signal(name=names[2], unit="1", source=NVML, value=jump, n=len(used)),
    )


def card_mib(recording: Telemetry, index: int, info: GpuInfo | None) -> float | None:
    """Return the card's memory in MiB; None where neither the recording nor the driver tells."""
    recorded = recording.facts.get(f"gpu{index}", {}).get("memory_total_mib")
    return recorded if isinstance(recorded, float) else (info.memory_mib if info else None)


def link(stretch: Stretch, prefix: str, facts: Mapping[str, str | float | bool]) -> tuple[Signal, ...]:
    """Return the best PCIe generation and width while the GPU worked, over what card and slot allow (0 to 1)."""
    signals = []
    for field in ("pcie_generation", "pcie_width"):
        _, values = stretch.inside(prefix + field)
        most = facts.get(f"{field}_max")
        if not len(values) or not isinstance(most, float) or not most:
            reason = why_missing(stretch, prefix + field) if not len(values) else "the maximum is not known"
            signals.append(missing(f"{field}_fraction", "1", NVML, reason))
            continue
        best = float(values.max())
        source = f"{NVML}: {best:g} of {most:g}"
        signals.append(Signal(name=f"{field}_fraction", unit="1", source=source, value=best / most, n=len(values)))
    return tuple(signals)


def clocks(stretch: Stretch, prefix: str) -> tuple[Signal, ...]:
    """Return how often heat or the power limit held the clocks down, and the clock of the multiprocessors in MHz."""
    _, reasons = stretch.inside(prefix + "throttle_reasons")
    bits = reasons.astype(np.int64)
    _, clocks = stretch.inside(prefix + "sm_clock_mhz")
    why = why_missing(stretch, prefix + "throttle_reasons")
    return (
        share_of((bits & HEAT) != 0, reasons, "throttled_heat_fraction", NVML, why),
        share_of((bits & POWER_CAP) != 0, reasons, "power_cap_fraction", NVML, why),
        level_of(stretch, prefix + "sm_clock_mhz", "sm_clock_mhz", "MHz"),
        Signal(name="sm_clock_peak_mhz", unit="MHz", source=NVML, value=float(clocks.max()))
        if len(clocks)
        else missing("sm_clock_peak_mhz", "MHz", NVML, why_missing(stretch, prefix + "sm_clock_mhz")),
    )


def other_processes(stretch: Stretch, prefix: str) -> Signal:
    """Return the largest number of other programs' processes that had the GPU open at one time."""
    _, counts = stretch.inside(prefix + "other_processes")
    if not len(counts):
        return missing("other_gpu_processes", "1", NVML, why_missing(stretch, prefix + "other_processes"))
    return Signal(name="other_gpu_processes", unit="1", source=NVML, value=float(counts.max()), n=len(counts))
