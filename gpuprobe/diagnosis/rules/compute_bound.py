"""Whether the device itself is the limit of a traced step: kernels fill the GPU, or computing the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.rules.because import because
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.trace_confidence import breakdown_confidence

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds

# Waits that may lie before the first kernel of a step, outside the GPU span. Late launches do not count: every step has
# a way from its call to its first kernel.
WAITS_BEFORE_KERNELS = ("input", "between_steps", "sync", "compile", "memory", "host_work", "once", "peer")


def compute_bound(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """Find the device itself to be the limit, which is healthy; None where it is not."""
    if evidence.text("device_kind") == "cpu":
        return _processor_bound(evidence, limits)
    if not kernels_fill(evidence, limits):
        return None
    filled, busy = evidence.number("kernel_fraction") or 0.0, evidence.number("share.gpu_compute") or 0.0
    # The span includes a slow first step, which does not count as a step.
    fills_span = filled >= limits.compute_fraction
    where = "the time from the first to the last event of the GPU" if fills_span else "the step"
    return finding_of(
        evidence,
        "compute_bound",
        severity=busy,
        # Kernels in the trace are no guess: unknown launches concern only the rest of the step.
        confidence="high" if busy >= limits.compute_fraction else breakdown_confidence(evidence, limits),
        claim=f"Kernels fill {wording.share(filled if fills_span else busy)} of {where}: the GPU itself is the limit."
        f"{because('compute_bound', evidence)}",
        names=("kernel_fraction", "share.gpu_compute", "sm_efficiency", "occupancy", "operation_share"),
    )


def kernels_fill(evidence: Evidence, limits: Thresholds, margin: float = 0.0) -> bool:
    """Whether kernels fill the step, or else the GPU span, where the GPU computes for most of the step.

    `margin` is how much less of the span (0 to 1) is enough. No long wait may lie before the kernels, outside the span.
    """
    exchanged = sum(evidence.number(f"share.{part}") or 0.0 for part in ("exchange", "idle_peer"))
    filled = (evidence.number("kernel_fraction") or 0.0) - exchanged
    busy = evidence.number("share.gpu_compute") or 0.0
    # The span includes a warm-up step, the average step does not.
    if busy >= limits.compute_fraction:
        return True
    # The step includes a wait before its first kernel, the span does not: kernels cannot fill that time.
    waited = max(evidence.number(f"share.idle_{wait}") or 0.0 for wait in WAITS_BEFORE_KERNELS)
    fills_span = filled >= limits.compute_fraction - margin and busy >= limits.compute_of_step
    return fills_span and waited < 1 - limits.compute_fraction


def _processor_bound(evidence: Evidence, limits: Thresholds) -> Finding | None:
    waits = (
        "share.idle_input",
        "share.idle_between_steps",
        "share.idle_compile",
        "share.idle_once",
        "share.idle_host_work",
    )
    idle = sum(evidence.number(name) or 0.0 for name in waits)
    busy = evidence.number("share.cpu_compute") or 0.0
    overhead = max(evidence.number("share.overhead") or 0.0, evidence.number("share.dispatch") or 0.0)
    if idle >= limits.cpu_idle_share or busy < limits.cpu_busy_share or overhead >= limits.overhead_share:
        return None
    return finding_of(
        evidence,
        "compute_bound",
        severity=busy,
        confidence=breakdown_confidence(evidence, limits, busy),
        claim="There is no GPU in the trace, and the processor itself is the limit: waiting for input, compiling and "
        f"what lies between steps are {wording.share(idle)} of the step.{because('compute_bound', evidence)}",
        names=("share.cpu_compute", "share.idle_input", "share.idle_between_steps", "operation_share"),
        fix="Only less work or a faster device helps.",
    )
