"""Findings from the breakdown of one trace alone: which cause leads, and which others matter.

Exactly one is primary: `compute_bound` where kernels fill the GPU, else the largest of exposed copies, input, launches,
work of the host's own, work that is done once, syncs, exchange between devices, compilation, allocation, and what the
host does between steps. Where the first leads
by little, it says that the two tie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import BY_SHARE, CAUSES, Cause, CauseId
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.because import because
from gpuprobe.diagnosis.rules.held import doubt, held_in
from gpuprobe.thresholds import DEFAULTS, Thresholds, fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Decided
    from gpuprobe.records import Confidence, Evidence

OPERATIONS = ("operation_share", "dense_update_share")
# What may lie before the first kernel of a step, where the span of kernels does not show it. A late launch is none of
# these: the way from the call of a step to its first kernel is a part of every step.
WAITS = ("input", "between_steps", "sync", "compile", "memory", "host_work", "once", "peer")
TRACE_ALL = (
    "Trace all workers in the same steps and name the folder that holds their traces: they tell whether the exchange "
    "itself takes the time or one of them is waited for."
)
NO_DEVICE = "there is no step to account for"


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, the primary one first, and the causes that could not be decided."""
    kind = evidence.text("device_kind")
    if not kind:
        names: list[CauseId] = [*(cause.id for cause in BY_SHARE), "compute_bound"]
        return (), tuple(NotEvaluated(cause=name, reason=NO_DEVICE) for name in names)
    # What only a processor's trace shows, a GPU's own rules tell otherwise.
    causes = [cause for cause in BY_SHARE if kind == "cpu" or "gpu" in cause.shown.on]
    undecided = [_undecided(cause, evidence) for cause in causes]
    known = [cause for cause, reason in zip(causes, undecided, strict=True) if reason is None]
    ranked = sorted(known, key=lambda cause: -_share(evidence, cause))
    healthy = _compute_bound(evidence, limits)
    leading = ranked[:1] if healthy is None and ranked and _leads(evidence, ranked[0], limits) else []
    others = [cause for cause in ranked if cause not in leading and _share(evidence, cause) >= cause.threshold(limits)]
    if healthy is None and not leading and not others and ranked and _outweighs(evidence, ranked[0]):
        leading = ranked[:1]
    found = [*([healthy] if healthy else []), *(_finding(cause, evidence, limits) for cause in (*leading, *others))]
    reasons = tuple(reason for reason in undecided if reason is not None)
    if not found:
        return (), (*reasons, NotEvaluated(cause="compute_bound", reason=_nothing_leads(evidence)))
    first = msgspec.structs.replace(found[0], primary=True, ties_with=_tie(evidence, ranked, found[0].cause, limits))
    if first.ties_with and first.cause != "compute_bound":
        first = msgspec.structs.replace(first, confidence=_lowered(first.confidence))
    return (first, *found[1:]), reasons


def _compute_bound(evidence: Evidence, limits: Thresholds) -> Finding | None:
    """The device itself is the limit. Healthy."""
    if evidence.text("device_kind") == "cpu":
        return _compute_bound_cpu(evidence, limits)
    if not _filled(evidence, limits):
        return None
    filled, busy = evidence.number("kernel_fraction") or 0.0, evidence.number("share.gpu_compute") or 0.0
    # A slow first step lies in the span, and is none of the steps that count.
    where = "the time from the first to the last event of the GPU" if filled >= limits.compute_fraction else "the step"
    told = filled if filled >= limits.compute_fraction else busy
    return Finding(
        cause="compute_bound",
        primary=False,
        severity=busy,
        # Kernels that were seen are no guess: what is not known of the launches can only concern the rest.
        confidence="high" if busy >= limits.compute_fraction else _confidence(evidence, limits),
        claim=f"Kernels fill {wording.share(told)} of {where}: the GPU itself is the limit."
        f"{because('compute_bound', evidence)}",
        evidence=evidence.only("kernel_fraction", "share.gpu_compute", "sm_efficiency", "occupancy", *OPERATIONS),
        fix=CAUSES["compute_bound"].fix,
        stage=_part(evidence, limits),
    )


def _filled(evidence: Evidence, limits: Thresholds, margin: float = 0.0) -> bool:
    """Whether kernels that compute fill the span, and the span most of the step."""
    exchanged = sum(evidence.number(f"share.{part}") or 0.0 for part in ("exchange", "idle_peer"))
    filled = (evidence.number("kernel_fraction") or 0.0) - exchanged
    busy = evidence.number("share.gpu_compute") or 0.0
    # A first step that is warm-up lies in the span, and not in the step.
    if busy >= limits.compute_fraction:
        return True
    # A wait before the first kernel lies in the step, and not in the span: kernels cannot fill what it takes.
    waited = max(evidence.number(f"share.idle_{wait}") or 0.0 for wait in WAITS)
    fills_span = filled >= limits.compute_fraction - margin and busy >= limits.compute_of_step
    return fills_span and waited < 1 - limits.compute_fraction


def _compute_bound_cpu(evidence: Evidence, limits: Thresholds) -> Finding | None:
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
    return Finding(
        cause="compute_bound",
        primary=False,
        severity=busy,
        confidence=_confidence(evidence, limits, busy),
        claim="There is no GPU in the trace, and the processor itself is the limit: waiting for input, compiling and "
        f"what lies between steps are {wording.share(idle)} of the step.{because('compute_bound', evidence)}",
        evidence=evidence.only("share.cpu_compute", "share.idle_input", "share.idle_between_steps", *OPERATIONS),
        fix="Only less work or a faster device helps.",
        stage=_part(evidence, limits),
    )


def _part(evidence: Evidence, limits: Thresholds) -> str | None:
    """Name what most of the computing is for, where less would do."""
    return "dense_update" if (evidence.number("dense_update_share") or 0.0) >= limits.mostly else None


def _finding(cause: Cause, evidence: Evidence, limits: Thresholds) -> Finding:
    share = _share(evidence, cause)
    time = wording.milliseconds(share * (evidence.number("step_ms") or 0.0))
    sure = _confidence(evidence, limits, share, 0.0 if "gpu" in cause.shown.on else share)
    if sure == "low" and _only_unjoined(cause, evidence, limits):
        sure = "medium"
    open_question = doubt(cause.id, evidence, limits)
    return Finding(
        cause=cause.id,
        primary=False,
        severity=share,
        # Where no training function is known, silence alone tells that the host was elsewhere.
        confidence=_lowered(sure) if _untold(cause, evidence) or _alone(cause, evidence) or open_question else sure,
        claim=cause.shown.claim.format(device=_device(evidence), share=wording.share(share), time=time)
        + because(cause.id, evidence)
        + held_in(cause.id, evidence)
        + open_question,
        evidence=evidence.only(cause.shown.share, "step_ms", *cause.shown.also),
        fix=TRACE_ALL if _alone(cause, evidence) else cause.fix,
        stage=(evidence.text("input_stage") or None) if cause.id == "input_bound" else None,
    )


def _undecided(cause: Cause, evidence: Evidence) -> NotEvaluated | None:
    if evidence.text("device_kind") not in cause.shown.on:
        return NotEvaluated(cause=cause.id, reason="there is no GPU in the trace")
    outside = evidence.get("idle_outside_step_fraction")
    if outside is not None and _untold(cause, evidence) and not _share(evidence, cause):
        return NotEvaluated(cause=cause.id, reason=outside.missing or "the trace names no training function")
    return None


def _untold(cause: Cause, evidence: Evidence) -> bool:
    """Whether a GPU's trace shows no training function, so that nothing is known to lie outside it."""
    outside = evidence.get("idle_outside_step_fraction")
    missing = outside is not None and outside.value is None
    return cause.id == "host_between_steps" and missing and evidence.text("device_kind") == "gpu"


def _alone(cause: Cause, evidence: Evidence) -> bool:
    """Whether only one device's exchanges were seen: its transfer may then be a wait for another."""
    return cause.id == "collective_bound" and evidence.number("kept_waiting_share") is None


def _leads(evidence: Evidence, cause: Cause, limits: Thresholds) -> bool:
    """Whether the largest cause may be called the first: what is unknown may be larger."""
    share = _share(evidence, cause)
    if share >= cause.threshold(limits):
        return share > 0
    return evidence.text("device_kind") != "cpu" and _outweighs(evidence, cause)


def _outweighs(evidence: Evidence, cause: Cause) -> bool:
    """Whether the largest cause, small as it is, is all the same more than the trace leaves unexplained.

    So on a processor that computes for less than half of the step, where several things take some of the rest.
    """
    return _share(evidence, cause) > _unexplained(evidence)


def _tie(evidence: Evidence, ranked: list[Cause], first: CauseId, limits: Thresholds) -> CauseId | None:
    if first == "compute_bound":
        filled = evidence.number("kernel_fraction")
        filled = max(filled or 0.0, evidence.number("share.gpu_compute") or 0.0)
        near = 0 < filled < limits.compute_fraction + limits.compute_margin and ranked
        return ranked[0].id if near else None
    if _filled(evidence, limits, limits.compute_margin):
        return "compute_bound"
    second = next((cause for cause in ranked if cause.id != first), None)
    lead = next(cause for cause in ranked if cause.id == first)
    if second is None or _share(evidence, lead) - _share(evidence, second) >= limits.tie_points:
        return None
    return second.id if _share(evidence, second) > 0 else None


def _nothing_leads(evidence: Evidence) -> str:
    filled = evidence.number("kernel_fraction") or 0.0
    unknown = wording.share(_unexplained(evidence))
    if evidence.text("device_kind") == "cpu":
        return f"the trace does not tell what the processor did in {unknown} of the step"
    if any(_share(evidence, cause) for cause in BY_SHARE):
        rest = f"no cause takes as much of the step as the {unknown} that nothing explains"
    else:
        rest = "no part of the idle time has a known cause"
    return f"kernels fill only {wording.share(filled)} of the GPU span, and {rest}"


def _only_unjoined(cause: Cause, evidence: Evidence, limits: Thresholds) -> bool:
    """Whether nothing makes the breakdown unsure but that launch calls cannot be joined to the device's work.

    Events of its own show every cause but late launches: those are what is left of the time in a training function.
    """
    if cause.id == "launch_bound" and evidence.number("idle_outside_step_fraction") is None:
        return False
    joined, lost = evidence.number("joined_fraction"), evidence.number("lost_fraction") or 0.0
    explained = _unexplained(evidence) <= limits.unattributed_share
    return joined is not None and joined < fixed.JOINED_LOW and explained and lost <= fixed.LOST_LOW


def _confidence(evidence: Evidence, limits: Thresholds, share: float = 0.0, explained: float = 0.0) -> Confidence:
    """That of the breakdown, but low where too much of the step is unexplained.

    Where nothing that was launched is missing, a share that is larger than all that is unexplained leads whatever that
    may be. `explained` is what a cause tells of it that lies across the categories.
    """
    unexplained = _unexplained(evidence)
    if unexplained > limits.unattributed_share:
        return "medium" if _all_seen(evidence) and share > unexplained - explained else "low"
    told = evidence.text("breakdown_confidence")
    return "high" if told == "high" else "medium" if told == "medium" else "low"


def _all_seen(evidence: Evidence) -> bool:
    """Whether all that was launched is in the trace, as on a processor it always is."""
    if evidence.text("device_kind") == "cpu":
        return True
    joined, lost = evidence.number("joined_fraction") or 0.0, evidence.number("lost_fraction")
    return joined >= fixed.JOINED_HIGH and lost is not None and lost <= fixed.LOST_HIGH


def _lowered(confidence: Confidence) -> Confidence:
    return "medium" if confidence == "high" else confidence


def _unexplained(evidence: Evidence) -> float:
    """The share of the step without a cause: of which nothing tells, or in which launched work did not start."""
    return (evidence.number("share.unattributed") or 0.0) + (evidence.number("share.stalled") or 0.0)


def _device(evidence: Evidence) -> str:
    return "processor" if evidence.text("device_kind") == "cpu" else "GPU"


def _share(evidence: Evidence, cause: Cause) -> float:
    return evidence.number(cause.shown.share) or 0.0
