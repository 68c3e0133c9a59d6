"""What slows any training down beside its cause, from telemetry alone: named, but never the verdict by itself."""

from __future__ import annotations

from gpuprobe import wording
from gpuprobe.diagnosis.telemetry_signals import Result, known, undecided, value
from gpuprobe.records import Evidence, Finding, NotEvaluated

# Kineto's profiler warns above 90 % of the memory. TensorFlow's allocator takes nearly all of it in one step.
MEMORY_FULL, TAKEN_AT_ONCE = 0.90, 0.5
# Clocks held down for less than a tenth of the time cost at most some percent; FIELD: clocks down by 15 % matter.
THROTTLED_SHARE, CLOCKS_DOWN = 0.10, 0.15
# A card that hardly works may slow its link down.
AT_WORK_PERCENT = 10.0


def throttled(evidence: Evidence) -> Result | None:
    """Heat, the board or its power limit held the clocks down."""
    heat, cap = known(evidence, "throttled_heat_fraction", "power_cap_fraction")
    clock, peak = known(evidence, "sm_clock_mhz", "sm_clock_peak_mhz")
    if not (heat and cap):
        return undecided(evidence, "throttled", "throttled_heat_fraction", "power_cap_fraction")
    down = 1 - value(clock) / value(peak) if clock and peak and value(peak) else 0.0
    by_power = value(cap) > THROTTLED_SHARE and down > CLOCKS_DOWN
    if value(heat) <= THROTTLED_SHARE and not by_power:
        return None
    hot = value(heat) > THROTTLED_SHARE
    share = value(heat if hot else cap)
    cause = "heat or the board" if hot else "the power limit"
    return Finding(
        cause="throttled",
        primary=False,
        severity=max(0.0, down) * share,
        confidence="medium",
        claim=f"During {wording.share(share)} of the readings {cause} held the clocks down; on average they were "
        f"{wording.share(max(0.0, down))} below the highest seen.",
        evidence=tuple(signal for signal in (heat, cap, clock, peak) if signal),
        fix="Clean the fans and free the air flow."
        if hot
        else "Raise the limit where the card allows: nvidia-smi -pl.",
    )


def gpu_memory_tight(evidence: Evidence) -> Result | None:
    """Memory nearly full, unless TensorFlow took it all at once, which says nothing about the need."""
    peak, jump = known(evidence, "memory_peak_fraction", "memory_jump_fraction")
    if not (peak and jump):
        return undecided(evidence, "gpu_memory_tight", "memory_peak_fraction", "memory_jump_fraction")
    if value(peak) < MEMORY_FULL:
        return None
    if value(jump) >= TAKEN_AT_ONCE:
        reason = (
            "the memory was taken at once, as TensorFlow does whatever it needs; "
            "TF_FORCE_GPU_ALLOW_GROWTH=true shows the need"
        )
        return NotEvaluated(cause="gpu_memory_tight", reason=reason)
    return Finding(
        cause="gpu_memory_tight",
        primary=False,
        severity=0.0,
        confidence="medium",
        claim=f"The GPU's memory grew to {wording.share(value(peak))} of what it has.",
        evidence=(peak, jump),
        fix="A larger batch will not fit; mixed precision or a smaller batch frees memory.",
    )


def pcie_degraded(evidence: Evidence) -> Result | None:
    """The link never reached what card and slot allow, not even at work."""
    generation, width = known(evidence, "pcie_generation_fraction", "pcie_width_fraction")
    mean, _ = known(evidence, "utilization_percent", "utilization_p95_percent")
    if not (generation and width):
        return undecided(evidence, "pcie_degraded", "pcie_generation_fraction", "pcie_width_fraction")
    # A card at rest slows its link down on purpose.
    if min(value(generation), value(width)) >= 1 or mean is None or value(mean) < AT_WORK_PERCENT:
        return None
    return Finding(
        cause="pcie_degraded",
        primary=False,
        severity=0.0,
        confidence="medium",
        claim=f"The PCIe link never reached its maximum while the GPU worked: generation "
        f"{generation.source.partition(': ')[2]}, width {width.source.partition(': ')[2]}.",
        evidence=(generation, width),
        fix="Reseat the card, use the slot next to the processor, or raise the slot's speed in the firmware.",
    )


def gpu_shared(evidence: Evidence) -> Result | None:
    """Another process had the GPU open."""
    others = evidence.get("other_gpu_processes")
    if others is None or not isinstance(others.value, float):
        return NotEvaluated(cause="gpu_shared", reason=others.missing if others and others.missing else "not recorded")
    if not others.value:
        return None
    (mean,) = known(evidence, "utilization_percent")
    return Finding(
        cause="gpu_shared",
        primary=False,
        severity=0.0,
        confidence="medium",
        claim=f"Other programs had this GPU open ({int(others.value)} at most at a time): part of the utilization and "
        "memory may be theirs.",
        evidence=tuple(signal for signal in (others, mean) if signal),
        fix="Move them to another GPU, or watch again when they are done; nvidia-smi lists them.",
    )


CONDITIONS = (throttled, gpu_memory_tight, pcie_degraded, gpu_shared)
