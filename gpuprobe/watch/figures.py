"""The figures of a watch, a line each: utilization, phases, power, memory, processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.evidence.readings.told import parts_told
from gpuprobe.thresholds import DEFAULTS, fixed

if TYPE_CHECKING:
    from gpuprobe.evidence.readings.signals import GpuSeen, Seen
    from gpuprobe.records import Evidence, Signal


def lines(seen: Seen) -> list[tuple[str, str]]:
    """Return the figures of each GPU and of the host, as (label, figures)."""
    lines = []
    for gpu in seen.gpus:
        name = f"GPU {gpu.index}"
        lines.append((f"{name} utilization", _utilization(gpu)))
        if gpu.busy_s or gpu.idle_after_s:
            lines.append((f"{name} phases", _phases(gpu)))
        if judged_on := parts_told(gpu):
            lines.append((f"{name} judged", judged_on))
        lines.append((f"{name} power, clock", _power(gpu.evidence)))
        lines.append((f"{name} memory", _memory(gpu.evidence)))
    lines.append(("CPU", _cpu(seen.host)))
    lines.append(("I/O wait", _io(seen.host)))
    lines.append(("host memory", _host_memory(seen.host)))
    return lines


def _host_memory(host: Evidence) -> str:
    peak, left = host.number("host_memory_peak_mib"), host.number("host_memory_left_mib")
    parts = [f"peak {wording.mebibytes(peak)}"] if peak is not None else []
    parts += [f"at least {wording.mebibytes(left)} left on the machine"] if left is not None else []
    return "; ".join(parts) or "not known"


def _utilization(gpu: GpuSeen) -> str:
    names = ("utilization_percent", "utilization_p5_percent", "utilization_p50_percent", "utilization_p95_percent")
    values = [gpu.evidence.number(name) for name in names]
    if None in values:
        signal = gpu.evidence.get("utilization_percent")
        return f"not known: {signal.missing if signal else 'not gathered'}"
    mean, p5, p50, p95 = values
    steady_s = sum(part.seconds for part in gpu.parts if part.kind == "steady")
    all_of_it = abs(steady_s - gpu.busy_s - gpu.idle_between_s) < fixed.WATCH_TOO_SHORT_S
    span = "from its first to its last busy second: " if all_of_it else "in its steady phase: "
    span = span if gpu.busy_s else ""
    return f"{span}mean {mean:.0f} %, p5 {p5:.0f} %, p50 {p50:.0f} %, p95 {p95:.0f} %"


def _phases(gpu: GpuSeen) -> str:
    if not gpu.busy_s:
        return f"idle whenever it was read ({duration(gpu.idle_after_s)})"
    parts = [f"busy {duration(gpu.busy_s)} in {wording.count(gpu.busy_phases, 'phase')}"]
    for seconds, where in (
        (gpu.idle_before_s, "before the first"),
        (gpu.idle_between_s, "between"),
        (gpu.idle_after_s, "after the last"),
    ):
        if seconds:
            parts.append(f"idle {duration(seconds)} {where}")
    if gpu.unknown_s >= fixed.UNREAD_S:
        parts.append(f"not known for {duration(gpu.unknown_s)}")
    return ", ".join(parts)


def _power(evidence: Evidence) -> str:
    parts = [_figure(evidence, "power_w", "W"), _figure(evidence, "sm_clock_mhz", "MHz")]
    heat, cap = evidence.number("throttled_heat_fraction"), evidence.number("power_cap_fraction")
    if heat is None or cap is None:
        parts.append("throttling not known")
    elif not heat and not cap:
        parts.append("never throttled")
    else:
        by = [f"by {what} {wording.share(much)}" for what, much in (("heat", heat), ("the power limit", cap)) if much]
        parts.append(f"held down {' and '.join(by)} of the time")
    temperature = evidence.get("temperature_c")
    if temperature and temperature.high is not None:
        parts.append(f"{temperature.high:.0f} deg C")
    return ", ".join(parts)


def _memory(evidence: Evidence) -> str:
    peak, share = evidence.get("memory_peak_mib"), evidence.number("memory_peak_fraction")
    if share is None:
        return f"peak {_mib(peak)}"
    jump = evidence.number("memory_jump_fraction") or 0.0
    headroom = f"peak {_mib(peak)}, {wording.share(max(0.0, 1 - share))} never used"
    if share >= DEFAULTS.memory_full and jump >= DEFAULTS.memory_jump:
        headroom += " (taken at once, as TensorFlow does: the true headroom is not known)"
    return headroom


def _cpu(evidence: Evidence) -> str:
    cores, limit = evidence.number("cpu_cores"), evidence.number("cpu_limit")
    if cores is None:
        return "not known"
    parts = [f"{wording.cores(cores)}" + (f" of {limit:g}" if limit else "")]
    thread, one_core = evidence.get("busiest_thread_fraction"), evidence.number("one_core_fraction")
    if thread and thread.value is not None:
        thread_name = thread.source.partition(": ")[2].partition(",")[0]
        parts.append(f"busiest thread {wording.share(float(thread.value))} of a core ({thread_name})")
    others = evidence.number("other_cpu_cores")
    if others is not None and others >= DEFAULTS.at_work_cores:
        parts.append(f"other programs {wording.cores(others)}")
    if one_core:
        parts.append(f"just one core during {wording.share(one_core)} of the time")
    return ", ".join(parts)


def _io(evidence: Evidence) -> str:
    share, cores = evidence.number("iowait_fraction"), evidence.number("iowait_cores")
    if share is None or cores is None:
        return "not known"
    return f"{wording.cores(cores)}; a core waited for a disk during {wording.share(share)} of the time"


def _figure(evidence: Evidence, name: str, unit: str) -> str:
    value = evidence.number(name)
    return f"{unit} not known" if value is None else f"{wording.significant(value)} {unit}"


def _mib(signal: Signal | None) -> str:
    value = signal.value if signal else None
    return wording.mebibytes(value) if isinstance(value, float) else "not known"


def duration(seconds: float) -> str:
    """Return a duration in words: to the second from 10 s on, to two digits below."""
    return wording.clock(seconds) if seconds >= 10 else f"{wording.significant(seconds, 2)} s"
