"""A recording into evidence: figures with unit, source and count, or the reason why they are missing.

Figures about the GPU are over its busy span, from the first to the last busy phase, so that starting up is not
taken for idling; the host's, too, where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gpuprobe.evidence.readings.grid import Grid, percentile
from gpuprobe.evidence.readings.phases import IDLE_BELOW_PERCENT, busy_span, phases
from gpuprobe.records import Evidence, Record, Signal
from gpuprobe.telemetry.signals import THROTTLE_REASONS, THROTTLED
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from gpuprobe.records import GpuInfo, Watch
    from gpuprobe.telemetry import Telemetry

HOST, NVML, THREADS = "psutil", "NVML", "gpuprobe watch, threads of the tree"
# SageMaker Debugger's CPU bottleneck: processors above 90 % while the GPU is below 10 %.
CPU_FULL = 0.90
# One process that waits for a disk waits on one core, however many there are: half of that is SageMaker's 50 %.
IOWAIT_CORES = 0.5
# A core or tree that is this busy does nothing else; a tree of one busy thread uses a little more than one core.
PINNED, ONE_CORE_AT_MOST = 0.90, 1.30
# Threads are added up over all of a command: that speaks for the busy span where it is at least so much of it.
MOSTLY = 0.5
# The power cap set by software is apart: a card that is well used may reach it.
POWER_CAP = THROTTLE_REASONS["power_cap"]
HEAT = THROTTLED & ~POWER_CAP


class GpuSeen(Record, frozen=True, kw_only=True):
    """What was seen of one GPU: signals about it and the host, and how long it was busy and idle, in seconds."""

    index: int
    name: str
    evidence: Evidence
    busy_s: float
    idle_before_s: float
    idle_between_s: float
    idle_after_s: float
    unknown_s: float
    busy_phases: int


class Seen(Record, frozen=True, kw_only=True):
    """What was seen of a command: the host's signals over all of it, each GPU's, and what was said in words."""

    duration_s: float
    host: Evidence
    gpus: tuple[GpuSeen, ...]
    said: tuple[str, ...]


def see(recording: Telemetry, watch: Watch) -> Seen:
    """Gather the evidence of one watch; an unfinished one is taken up to its last reading."""
    last_ns = int(recording.t_ns[-1]) if len(recording.t_ns) else watch.started_ns
    whole = Grid(recording, watch.started_ns, watch.ended_ns or max(last_ns, watch.started_ns))
    infos = {gpu.index: gpu for gpu in watch.environment.gpus} if watch.environment else {}
    return Seen(
        duration_s=(whole.end_ns - whole.start_ns) / NS_PER_S,
        host=Evidence(signals=_host(whole, watch)),
        gpus=tuple(_gpu(whole, watch, index, infos.get(index)) for index in recording.gpus),
        said=tuple(words for _, words in recording.said),
    )


def _gpu(whole: Grid, watch: Watch, index: int, info: GpuInfo | None) -> GpuSeen:
    prefix = f"gpu{index}_"
    found = phases(whole, prefix + "utilization_percent")
    span = busy_span(found)
    grid = Grid(whole.recording, *span) if span else whole
    idle = [phase for phase in found if phase.busy is False]
    signals = (
        *_utilization(grid, prefix),
        *_together(grid, watch, prefix),
        *_memory(whole, prefix, _total_mib(whole.recording, index, info)),
        *_link(grid, prefix, whole.recording.facts.get(f"gpu{index}", {})),
        *_clocks(grid, prefix),
        _others(grid, prefix),
        _level(grid, prefix + "other_sm_percent", "other_sm_percent", "%"),
        _level(grid, prefix + "memory_utilization_percent", "memory_utilization_p95_percent", "%", 95),
        _level(grid, prefix + "power_w", "power_w", "W"),
        _level(grid, prefix + "temperature_c", "temperature_c", "deg C"),
    )
    return GpuSeen(
        index=index,
        name=info.name if info else f"GPU {index}",
        evidence=Evidence(signals=(*signals, *_host(grid, watch))),
        busy_s=sum(phase.seconds for phase in found if phase.busy),
        idle_before_s=sum(phase.seconds for phase in idle if span and phase.end_ns <= span[0]),
        idle_between_s=sum(phase.seconds for phase in idle if span and span[0] <= phase.start_ns < span[1]),
        idle_after_s=sum(phase.seconds for phase in idle if not span or phase.start_ns >= span[1]),
        unknown_s=sum(phase.seconds for phase in found if phase.busy is None),
        busy_phases=sum(phase.busy is True for phase in found),
    )


def _host(grid: Grid, watch: Watch) -> tuple[Signal, ...]:
    cores = grid.rate("tree_cpu_s")
    limit = watch.cpu_limit
    share = cores / limit if limit else np.full(len(cores), np.nan)
    return (
        _mean(grid, cores, "cpu_cores", "cores"),
        Signal(name="cpu_limit", unit="cores", source=HOST, value=limit, missing=None if limit else "not recorded"),
        _mean(grid, share, "cpu_fraction", "1"),
        _at(share, 95, "cpu_p95_fraction"),
        _share((cores >= PINNED) & (cores <= ONE_CORE_AT_MOST), cores, "one_core_fraction", HOST),
        _pinned(grid),
        _busiest_thread(grid, watch),
        _not_below_zero(_mean(grid, _all_cores(grid) - cores, "other_cpu_cores", "cores")),
        _mean(grid, _all_cores(grid) / max(1, len(_core_columns(grid))), "machine_fraction", "1"),
        _share(grid.rate("iowait_s") >= IOWAIT_CORES, grid.rate("iowait_s"), "iowait_fraction", HOST),
        _mean(grid, grid.rate("iowait_s"), "iowait_cores", "cores"),
        _level(grid, "tree_memory_mib", "host_memory_peak_mib", "MiB", 100, HOST),
        _level(grid, "memory_available_mib", "host_memory_left_mib", "MiB", 0, HOST),
    )


def _pinned(grid: Grid) -> Signal:
    """Share of the seconds in which one core was full while the others were on average less than half busy."""
    columns = _core_columns(grid)
    if len(columns) < 2:
        return _missing("pinned_core_fraction", "1", HOST, "there is only one core to look at")
    cores = np.vstack([grid.rate(name) for name in columns])
    full = cores.max(axis=0, initial=0)
    others = (cores.sum(axis=0) - full) / (len(columns) - 1)
    return _share((full >= PINNED) & (others < 0.5), full, "pinned_core_fraction", HOST)


def _core_columns(grid: Grid) -> list[str]:
    return [name for name in grid.recording.columns if name.startswith("core") and name.endswith("_busy_s")]


def _all_cores(grid: Grid) -> NDArray[np.float64]:
    """How many cores of the machine were busy in each bin, whoever used them, (n,)."""
    total = np.zeros(len(grid.widths_s))
    for name in _core_columns(grid):
        total += grid.rate(name)
    return total if _core_columns(grid) else np.full(len(total), np.nan)


def _not_below_zero(signal: Signal) -> Signal:
    """The machine's counters and the process's tick apart, so that the rest of their difference can be negative."""

    def clipped(value: float | None) -> float | None:
        return None if value is None else max(0.0, value)

    value = clipped(signal.value) if isinstance(signal.value, float) else signal.value
    return msgspec.structs.replace(signal, value=value, low=clipped(signal.low), high=clipped(signal.high))


def _busiest_thread(grid: Grid, watch: Watch) -> Signal:
    threads = watch.threads
    if not threads:
        return _missing("busiest_thread_fraction", "1", THREADS, "no thread was seen twice")
    if grid.widths_s.sum() < threads[0].seen_s * MOSTLY:
        reason = "the threads were mostly seen outside the busy span, as while starting up"
        return _missing("busiest_thread_fraction", "1", THREADS, reason)
    first = threads[0]
    who = f"{THREADS}: {first.name or 'unnamed'}, thread {first.tid} of process {first.pid}"
    return Signal(name="busiest_thread_fraction", unit="1", source=who, value=first.cpu_s / first.seen_s)


def _utilization(grid: Grid, prefix: str) -> tuple[Signal, ...]:
    values, seconds = grid.weighted(prefix + "utilization_percent")
    names = ("utilization_percent", *(f"utilization_p{at}_percent" for at in (5, 50, 95)), "utilization_idle_fraction")
    if not len(values) or not seconds.sum():
        reason = _reason(grid, prefix + "utilization_percent")
        return tuple(_missing(name, "%", NVML, reason) for name in names)
    figures = [float(np.average(values, weights=seconds)), *(percentile(values, seconds, at) for at in (5, 50, 95))]
    figures.append(float(np.average(values < IDLE_BELOW_PERCENT, weights=seconds)))
    return tuple(
        Signal(name=name, unit="%" if "percent" in name else "1", source=NVML, value=figure, n=len(values))
        for name, figure in zip(names, figures, strict=True)
    )


def _together(grid: Grid, watch: Watch, prefix: str) -> tuple[Signal, ...]:
    gpu = grid.level(prefix + "utilization_percent")
    cores, waiting = grid.rate("tree_cpu_s"), grid.rate("iowait_s")
    idle = gpu < IDLE_BELOW_PERCENT
    source = f"{NVML} and {HOST}"
    full = idle & (cores > CPU_FULL * watch.cpu_limit) if watch.cpu_limit else idle & np.isnan(idle)
    return (
        _share(full, gpu + cores, "cpu_full_gpu_idle_fraction", source),
        _share(idle & (waiting >= IOWAIT_CORES), gpu + waiting, "iowait_gpu_idle_fraction", source),
    )


def _memory(grid: Grid, prefix: str, total_mib: float | None) -> tuple[Signal, ...]:
    _, used = grid.inside(prefix + "memory_used_mib")
    names = ("memory_peak_mib", "memory_peak_fraction", "memory_jump_fraction")
    if not len(used):
        reason = _reason(grid, prefix + "memory_used_mib")
        return tuple(_missing(name, "MiB" if "mib" in name else "1", NVML, reason) for name in names)
    peak = Signal(name=names[0], unit="MiB", source=NVML, value=float(used.max()), low=float(used.min()), n=len(used))
    if not total_mib:
        return (peak, *(_missing(name, "1", NVML, "how much memory the card has is not known") for name in names[1:]))
    jump = float(np.diff(used).max(initial=0)) / total_mib
    return (
        peak,
        Signal(name=names[1], unit="1", source=NVML, value=float(used.max()) / total_mib, n=len(used)),
        Signal(name=names[2], unit="1", source=NVML, value=jump, n=len(used)),
    )


def _total_mib(recording: Telemetry, index: int, info: GpuInfo | None) -> float | None:
    told = recording.facts.get(f"gpu{index}", {}).get("memory_total_mib")
    return told if isinstance(told, float) else (info.memory_mib if info else None)


def _link(grid: Grid, prefix: str, facts: Mapping[str, str | float | bool]) -> tuple[Signal, ...]:
    """The best that the PCIe link was while the GPU worked, over the best that card and slot allow."""
    found = []
    for field in ("pcie_generation", "pcie_width"):
        _, values = grid.inside(prefix + field)
        most = facts.get(f"{field}_max")
        if not len(values) or not isinstance(most, float) or not most:
            reason = _reason(grid, prefix + field) if not len(values) else "the maximum is not known"
            found.append(_missing(f"{field}_fraction", "1", NVML, reason))
            continue
        best = float(values.max())
        source = f"{NVML}: {best:g} of {most:g}"
        found.append(Signal(name=f"{field}_fraction", unit="1", source=source, value=best / most, n=len(values)))
    return tuple(found)


def _clocks(grid: Grid, prefix: str) -> tuple[Signal, ...]:
    _, reasons = grid.inside(prefix + "throttle_reasons")
    bits = reasons.astype(np.int64)
    _, clocks = grid.inside(prefix + "sm_clock_mhz")
    why = _reason(grid, prefix + "throttle_reasons")
    return (
        _share((bits & HEAT) != 0, reasons, "throttled_heat_fraction", NVML, why),
        _share((bits & POWER_CAP) != 0, reasons, "power_cap_fraction", NVML, why),
        _level(grid, prefix + "sm_clock_mhz", "sm_clock_mhz", "MHz"),
        Signal(name="sm_clock_peak_mhz", unit="MHz", source=NVML, value=float(clocks.max()))
        if len(clocks)
        else _missing("sm_clock_peak_mhz", "MHz", NVML, _reason(grid, prefix + "sm_clock_mhz")),
    )


def _others(grid: Grid, prefix: str) -> Signal:
    """The most processes outside the command's tree that had the GPU open at one time."""
    _, counts = grid.inside(prefix + "other_processes")
    if not len(counts):
        return _missing("other_gpu_processes", "1", NVML, _reason(grid, prefix + "other_processes"))
    return Signal(name="other_gpu_processes", unit="1", source=NVML, value=float(counts.max()), n=len(counts))


def _level(grid: Grid, column: str, name: str, unit: str, at: float | None = None, source: str = NVML) -> Signal:
    """Mean weighted by time, or a percentile where one is asked for; p5 and p95 as `low` and `high`."""
    values, seconds = grid.weighted(column)
    if not len(values) or not seconds.sum():
        return _missing(name, unit, source, _reason(grid, column))
    value = float(np.average(values, weights=seconds)) if at is None else percentile(values, seconds, at)
    low, high = (percentile(values, seconds, percent) for percent in (5, 95))
    return Signal(name=name, unit=unit, source=source, value=value, low=low, high=high, n=len(values))


def _share(
    holds: NDArray[np.bool_], known: NDArray[np.float64], name: str, source: str, why: str = "not read in time"
) -> Signal:
    """Share of the bins in which something holds, among those in which it is known."""
    sure = ~np.isnan(known)
    if not sure.any():
        return _missing(name, "1", source, why)
    return Signal(name=name, unit="1", source=source, value=float(holds[sure].mean()), n=int(sure.sum()))


def _mean(grid: Grid, bins: NDArray[np.float64], name: str, unit: str) -> Signal:
    sure = ~np.isnan(bins)
    if not sure.any():
        return _missing(name, unit, HOST, "not read in time")
    value = float(np.average(bins[sure], weights=grid.widths_s[sure]))
    return Signal(name=name, unit=unit, source=HOST, value=value, n=int(sure.sum()))


def _at(bins: NDArray[np.float64], percent: float, name: str) -> Signal:
    sure = bins[~np.isnan(bins)]
    if not len(sure):
        return _missing(name, "1", HOST, "not read in time")
    return Signal(name=name, unit="1", source=HOST, value=float(np.percentile(sure, percent)), n=len(sure))


def _reason(grid: Grid, column: str) -> str:
    """Return what the recording says about a column that was not read."""
    return grid.recording.why_missing(column) or "nothing was read in time"


def _missing(name: str, unit: str, source: str, reason: str) -> Signal:
    return Signal(name=name, unit=unit, source=source, missing=reason)
