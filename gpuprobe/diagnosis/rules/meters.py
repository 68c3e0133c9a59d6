"""The rules for measuring: a meter that misleads, and a profiler that slows the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


def wrong_meter(evidence: Evidence, limits: Thresholds) -> Result:
    """NVML's utilization is far above the kernels' share of the time, or the share of the card that they fill."""
    if reason := evidence.lacking("utilization_percent", "kernel_fraction"):
        return NotEvaluated(cause="wrong_meter", reason=reason)
    percent, kernels = evidence.numbers("utilization_percent", "kernel_fraction")
    meter = percent / 100
    efficiency = evidence.number("sm_efficiency")
    apart = max(meter - kernels, meter - efficiency if efficiency is not None else 0.0)
    if apart < limits.meters_apart:
        return None
    measured = f"kernels run {wording.share(kernels)} of the time"
    if efficiency is not None:
        measured += f" and fill {wording.share(efficiency)} of the SMs"
    if (mfu := evidence.number("mfu")) is not None:
        measured += f", with {wording.share(mfu)} of the card's arithmetic"
    return finding_of(
        evidence,
        "wrong_meter",
        severity=apart,
        claim=f"NVML's utilization says {wording.share(meter)}, but {measured}. NVML counts a moment as busy when any "
        "kernel runs in it, however small; Windows' Task Manager leaves CUDA out of the graphs that it shows first.",
        names=("utilization_percent", "kernel_fraction", "sm_efficiency", "mfu"),
        confidence="high",
    )


def profiler_perturbed(evidence: Evidence, limits: Thresholds) -> Result:
    """The profiler slowed the steps that it recorded."""
    if reason := evidence.lacking("profiler_slowdown"):
        return NotEvaluated(cause="profiler_perturbed", reason=reason)
    (slowdown,) = evidence.numbers("profiler_slowdown")
    if slowdown < limits.profiler_slowdown:
        return None
    return finding_of(
        evidence,
        "profiler_perturbed",
        severity=1 - 1 / slowdown,
        claim=f"Tracing slowed the steps {slowdown:.2f}x: shares of launches and host time in the "
        "trace are larger than in training.",
        names=("profiler_slowdown",),
        confidence="high",
    )
