"""The figures of a watch, a line each: utilization, phases, power, memory, processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.evidence.readings.told import parts_told
from gpuprobe.thresholds import DEFAULTS, fixed

if TYPE_CHECKING:
    from gpuprobe.evidence.readings.signals import GpuSeen, Seen
    from gpuprobe.records import Evidence, Signal


def labelled_figures(seen: Seen) -> list[tuple[str, str]]:
    """Return the figures of each GPU and of the host, as (label, figures)."""
    figure_lines = []
    for gpu in seen.gpus:
        name = f"GPU {gpu.index}"
        figure_lines.append((f"{name} utilization", _utilization(gpu)))
        if gpu.busy_s or gpu.idle_after_s:
            figure_lines.append((f"{name} phases", _phases(gpu)))
        if judged_on := parts_told(gpu):
            figure_lines.append((f"{name} judged", judged_on))
        figure_lines.append((f"{name} power, clock", _power(gpu.evidence)))
        figure_lines.append((f"{name} memory", _memory(gpu.evidence)))
    figure_lines.append(("CPU", _cpu(seen.host)))
    figure_lines.append(("I/O wait", _io_wait(seen.host)))
    figure_lines.append(("host memory", _host_memory(seen.host)))
    return figure_lines


def _host_memory(host: Evidence) -> str:
    peak_mib, left_mib = host.number("host_memory_peak_mib"), host.number("host_memory_left_mib")
    phrases = [f"peak {wording.mebibytes(peak_mib)}"] if peak_mib is not None else []
    phrases += [f"at least {wording.mebibytes(left_mib)} left on the machine"] if left_mib is not None else []
    return "; ".join(phrases) or "not known"


def _utilization(gpu: GpuSeen) -> str:
    signal_names = (
        "utilization_percent",
        "utilization_p5_percent",
        "utilization_p50_percent",
        "utilization_p95_percent",
    )
    percentages = [gpu.evidence.number(name) for name in signal_names]
    if None in percentages:
        signal = gpu.evidence.get("utilization_percent")
        return f"not known: {signal.missing if signal else 'not gathered'}"
    mean, p5, p50, p95 = percentages
    steady_s = sum(part.seconds for part in gpu.parts if part.kind == "steady")
    steady_throughout = abs(steady_s - gpu.busy_s - gpu.idle_between_s) < fixed.WATCH_TOO_SHORT_S
    span = "from its first to its last busy second: " if steady_throughout else "in its steady phase: "
    span = span if gpu.busy_s else ""
    return f"{span}mean {mean:.0f} %, p5 {p5:.0f} %, p50 {p50:.0f} %, p95 {p95:.0f} %"


def _phases(gpu: GpuSeen) -> str:
    if not gpu.busy_s:
        return f"idle whenever it was read ({duration(gpu.idle_after_s)})"
    phrases = [f"busy {duration(gpu.busy_s)} in {wording.count(gpu.busy_phases, 'phase')}"]
    for idle_s, which_phase in (
        (gpu.idle_before_s, "before the first"),
        (gpu.idle_between_s, "between"),
        (gpu.idle_after_s, "after the last"),
    ):
        if idle_s:
            phrases.append(f"idle {duration(idle_s)} {which_phase}")
    if gpu.unknown_s >= fixed.UNREAD_S:
        phrases.append(f"not known for {duration(gpu.unknown_s)}")
    return ", ".join(phrases)


def _power(evidence: Evidence) -> str:
    phrases = [_reading(evidence, "power_w", "W"), _reading(evidence, "sm_clock_mhz", "MHz")]
    heat_fraction, power_cap_fraction = (
        evidence.number("throttled_heat_fraction"),
        evidence.number("power_cap_fraction"),
    )
    if heat_fraction is None or power_cap_fraction is None:
        phrases.append("throttling not known")
    elif not heat_fraction and not power_cap_fraction:
        phrases.append("never throttled")
    else:
        throttling = [
            f"by {throttled_by} {wording.share(throttled_fraction)}"
            for throttled_by, throttled_fraction in (("heat", heat_fraction), ("the power limit", power_cap_fraction))
            if throttled_fraction
        ]
        phrases.append(f"held down {' and '.join(throttling)} of the time")
    temperature = evidence.get("temperature_c")
    if temperature and temperature.high is not None:
        phrases.append(f"{temperature.high:.0f} deg C")
    return ", ".join(phrases)


def _memory(evidence: Evidence) -> str:
    peak_signal, peak_fraction = evidence.get("memory_peak_mib"), evidence.number("memory_peak_fraction")
    if peak_fraction is None:
        return f"peak {_memory_words(peak_signal)}"
    jump_fraction = evidence.number("memory_jump_fraction") or 0.0
    peak_words = f"peak {_memory_words(peak_signal)}, {wording.share(max(0.0, 1 - peak_fraction))} never used"
    if peak_fraction >= DEFAULTS.memory_full and jump_fraction >= DEFAULTS.memory_jump:
        peak_words += " (taken at once, as TensorFlow does: the true headroom is not known)"
    return peak_words


def _cpu(evidence: Evidence) -> str:
    used_cores, core_limit = evidence.number("cpu_cores"), evidence.number("cpu_limit")
    if used_cores is None:
        return "not known"
    phrases = [f"{wording.cores(used_cores)}" + (f" of {core_limit:g}" if core_limit else "")]
    busiest_thread, one_core_fraction = evidence.get("busiest_thread_fraction"), evidence.number("one_core_fraction")
    if busiest_thread and busiest_thread.value is not None:
        thread_name = busiest_thread.source.partition(": ")[2].partition(",")[0]
        phrases.append(f"busiest thread {wording.share(float(busiest_thread.value))} of a core ({thread_name})")
    other_cores = evidence.number("other_cpu_cores")
    if other_cores is not None and other_cores >= DEFAULTS.at_work_cores:
        phrases.append(f"other programs {wording.cores(other_cores)}")
    if one_core_fraction:
        phrases.append(f"just one core during {wording.share(one_core_fraction)} of the time")
    return ", ".join(phrases)


def _io_wait(evidence: Evidence) -> str:
    iowait_fraction, iowait_cores = evidence.number("iowait_fraction"), evidence.number("iowait_cores")
    if iowait_fraction is None or iowait_cores is None:
        return "not known"
    return (
        f"{wording.cores(iowait_cores)}; a core waited for a disk during {wording.share(iowait_fraction)} of the time"
    )


def _reading(evidence: Evidence, signal_name: str, unit: str) -> str:
    reading = evidence.number(signal_name)
    return f"{unit} not known" if reading is None else f"{wording.significant(reading)} {unit}"


def _memory_words(signal: Signal | None) -> str:
    mebibytes = signal.value if signal else None
    return wording.mebibytes(mebibytes) if isinstance(mebibytes, float) else "not known"


def duration(seconds: float) -> str:
    """Return a duration in words: to the second from 10 s on, to two digits below."""
    return wording.clock(seconds) if seconds >= 10 else f"{wording.significant(seconds, 2)} s"
