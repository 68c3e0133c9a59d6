"""What a GPU's readings show beside the cause of idle time: heat and power, memory, link, other programs.

Readings alone decide every rule here, so a watched command without a trace gets them too. A trace adds the signals
`device_kind`, `share.gpu_compute` and `share.copy`, the table of cards `boost_mhz`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds, fixed

if TYPE_CHECKING:
    from gpuprobe.records import Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings about the GPU's state, none marked primary, and the rules that were not evaluated.

    They are about heat and power, memory, link, and other programs. Both are empty where no GPU was read.
    """
    return apply(RULES, evidence, limits) if evidence.get("utilization_percent") else ((), ())


def not_on_gpu(evidence: Evidence, limits: Thresholds) -> Result:
    """The driver shows an idle GPU while the training computed, so it computed on the processor.

    A small model leaves a large GPU nearly idle too: where the run's settings do not tell the device, only a GPU that
    did nothing is sure.
    """
    used = evidence.flag("device_is_gpu")
    if used:
        return None
    traced = bool(evidence.text("device_kind"))
    names = ("utilization_p95_percent", *(() if traced else ("memory_peak_mib", "cpu_cores")))
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="not_on_gpu", reason=reason)
    busy = evidence.numbers("utilization_p95_percent")[0] / 100
    elsewhere = evidence.text("device_kind") == "cpu" if traced else _worked_without_gpu(evidence, limits)
    if busy >= limits.at_rest or not elsewhere:
        return None
    return finding_of(
        evidence,
        "not_on_gpu",
        severity=evidence.number("share.cpu_compute") or 0.0 if traced else 1.0,
        confidence="high" if traced and (used is False or 100 * busy < fixed.NOTHING_PERCENT) else "medium",
        claim="The driver shows an idle GPU, and the training computed on the processor."
        if traced
        else "The GPU did nothing and its memory did not grow, while the command used "
        f"{wording.cores(evidence.numbers('cpu_cores')[0])}: it computed on the processor.",
        names=("device_kind", *names, "share.cpu_compute"),
        code="pip install 'tensorflow[and-cuda]'",
    )


def throttled(evidence: Evidence, limits: Thresholds) -> Result:
    """Heat, the board or its power limit held the clocks down."""
    if reason := evidence.lacking("throttled_heat_fraction", "power_cap_fraction"):
        return NotEvaluated(cause="throttled", reason=reason)
    heat, power = evidence.numbers("throttled_heat_fraction", "power_cap_fraction")
    clock_mhz, rated_mhz = evidence.number("sm_clock_mhz"), _rated_mhz(evidence)
    best_mhz, down = _best_mhz(evidence), _down(evidence)
    slowed = max(heat, power) >= limits.throttled_fraction and down >= limits.clocks_down
    # Without the card's rated clock, heat alone decides: the highest clock in the readings may have been held down too.
    unrated = rated_mhz is None or clock_mhz is None
    if not slowed and not (unrated and heat >= limits.throttled_fraction):
        unknown = evidence.lacking("sm_clock_mhz") if power >= limits.throttled_fraction else None
        return NotEvaluated(cause="throttled", reason=unknown) if unknown else None
    hot, busy = heat >= power or not slowed, evidence.number("share.gpu_compute")
    why, of = ("heat or the board", heat) if hot else ("the power limit", power)
    best = "the highest seen" if rated_mhz is None else f"the card's {best_mhz:.0f} MHz"
    claim = f"During {wording.share(of)} of the readings {why} held the clocks down"
    return finding_of(
        evidence,
        "throttled",
        severity=down * (busy if busy is not None else 1.0),
        confidence="high" if slowed and (rated_mhz is not None or busy is not None) else "medium",
        claim=f"{claim}; on average they ran {wording.share(down)} below {best}." if down else f"{claim}.",
        names=("throttled_heat_fraction", "power_cap_fraction", "sm_clock_mhz", "sm_clock_peak_mhz", "boost_mhz"),
        fix="Clean the fans and free the air flow." if hot else "Raise the limit where the card allows it.",
        code="" if hot else "nvidia-smi -pl WATTS",
    )


def held_down(evidence: Evidence, limits: Thresholds) -> float:
    """Return by which share (0 to 1) heat or the power limit held the card's clock down; 0 where they seldom did."""
    often = max(evidence.number("throttled_heat_fraction") or 0.0, evidence.number("power_cap_fraction") or 0.0)
    return _down(evidence) if often >= limits.throttled_fraction else 0.0


def _rated_mhz(evidence: Evidence) -> float | None:
    """Return the card's clock as the table of cards gives it, else as the trace does; None where neither does."""
    rated_mhz = evidence.number("boost_mhz")
    return rated_mhz if rated_mhz is not None else evidence.number("device_clock_mhz")


def _best_mhz(evidence: Evidence) -> float:
    return max(evidence.number("sm_clock_peak_mhz") or 0.0, _rated_mhz(evidence) or 0.0)


def _down(evidence: Evidence) -> float:
    clock_mhz, best_mhz = evidence.number("sm_clock_mhz"), _best_mhz(evidence)
    return max(0.0, 1 - clock_mhz / best_mhz) if clock_mhz is not None and best_mhz else 0.0


def gpu_memory_tight(evidence: Evidence, limits: Thresholds) -> Result:
    """The memory is nearly full, and TensorFlow did not take it all at once, which would say nothing about the need."""
    names = ("memory_peak_fraction", "memory_jump_fraction")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="gpu_memory_tight", reason=reason)
    peak, jump = evidence.numbers(*names)
    if peak < limits.memory_full:
        return None
    if jump >= limits.memory_jump:
        reason = (
            "TensorFlow takes nearly all memory at once, whatever it needs; "
            "TF_FORCE_GPU_ALLOW_GROWTH=true shows the need"
        )
        return NotEvaluated(cause="gpu_memory_tight", reason=reason)
    return finding_of(
        evidence,
        "gpu_memory_tight",
        severity=0.0,
        confidence="medium",
        claim=f"The GPU's memory grew to {wording.share(peak)} of what it has.",
        names=names,
        fix="A larger batch will not fit; mixed precision or a smaller batch frees memory.",
    )


def pcie_degraded(evidence: Evidence, limits: Thresholds) -> Result:
    """The PCIe link is slower than card and slot allow; with a trace, only if copies lose time by it."""
    names = ("pcie_generation_fraction", "pcie_width_fraction")
    copied = _copied_over_the_link(evidence)
    if reason := evidence.lacking(*names, *(("utilization_percent",) if copied is None else ())):
        return NotEvaluated(cause="pcie_degraded", reason=reason)
    part = min(evidence.numbers(*names))
    lost = (copied or 0.0) * (1 - part)
    if copied is None:
        # An idle card slows its link down on purpose.
        holds = part < 1 and evidence.numbers("utilization_percent")[0] >= 100 * limits.at_rest
        claim = f"The PCIe link never reached more than {wording.share(part)} of its maximum while the GPU worked."
    else:
        holds = part <= limits.pcie_part and lost >= limits.pcie_share
        claim = (
            f"Copies between host and GPU take {wording.share(copied)} of the step, over a link at "
            f"{wording.share(part)} of what card and slot allow."
        )
    if not holds:
        return None
    return finding_of(
        evidence,
        "pcie_degraded",
        severity=lost,
        confidence="medium" if copied is None else "high",
        claim=claim,
        names=(*names, "share.copy", "share.gpu_copy_d2d"),
    )


def gpu_shared(evidence: Evidence, limits: Thresholds) -> Result:
    """Another program computes on the GPU, or at least has it open."""
    computing, others = evidence.number("other_sm_percent"), evidence.number("other_gpu_processes")
    if computing is None and others is None:
        return NotEvaluated(cause="gpu_shared", reason=evidence.lacking("other_gpu_processes") or "not recorded")
    share = (computing or 0.0) / 100
    sure = share >= limits.shared_fraction
    if not sure and not others:
        return None
    return finding_of(
        evidence,
        "gpu_shared",
        severity=share if sure else 0.0,
        confidence="high" if sure else "medium",
        claim=f"Other programs computed on this GPU for {wording.share(share)} of the time."
        if sure
        else f"Other programs had this GPU open ({others or 0:.0f} at most at a time): part of the utilization and "
        "memory may be theirs.",
        names=("other_sm_percent", "other_gpu_processes"),
    )


RULES: tuple[Rule, ...] = (throttled, gpu_memory_tight, pcie_degraded, gpu_shared)


def _copied_over_the_link(evidence: Evidence) -> float | None:
    """Return the share of the step (0 to 1) in which copies to and from the GPU run; None without a trace."""
    copied = evidence.number("share.copy")
    return None if copied is None else copied - (evidence.number("share.gpu_copy_d2d") or 0.0)


def _worked_without_gpu(evidence: Evidence, limits: Thresholds) -> bool:
    memory = evidence.get("memory_peak_mib")
    before_mib = (memory.low if memory else None) or 0.0
    # If no other program has the card open, all memory in use is the command's own, from the start on.
    own = evidence.number("other_gpu_processes") == 0 and before_mib >= limits.reserved_mib
    grown_mib = evidence.numbers("memory_peak_mib")[0] - (0.0 if own else before_mib)
    return grown_mib < limits.context_mib and evidence.numbers("cpu_cores")[0] >= limits.at_work_cores
