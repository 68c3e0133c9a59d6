"""Findings from the breakdown of one trace alone: which cause leads, and which others matter.

Exactly one finding is primary: `compute_bound` if kernels fill the GPU, else what makes the device late that the others
wait for, else the cause with the largest share of the step (`causes.BY_SHARE`). If that leads by little, the finding
says that it ties with the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import BY_SHARE, Cause, CauseId
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.because import because
from gpuprobe.diagnosis.rules.compute_bound import compute_bound, kernels_fill
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.held import doubt, held_in
from gpuprobe.diagnosis.rules.stage import stage_of
from gpuprobe.diagnosis.rules.trace_confidence import (
    at_most_medium,
    breakdown_confidence,
    only_launches_unknown,
    unexplained_share,
)
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Decided
    from gpuprobe.records import Evidence

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
    # Causes that only a processor's steps show have other rules for a GPU.
    causes = [cause for cause in BY_SHARE if kind == "cpu" or "gpu" in cause.shown.on]
    undecided = [_undecided(cause, evidence) for cause in causes]
    known = [cause for cause, reason in zip(causes, undecided, strict=True) if reason is None]
    late = _makes_late(evidence, limits)
    ranked = sorted(known, key=lambda cause: (cause.shown.share != late, -_share(evidence, cause)))
    healthy = compute_bound(evidence, limits)
    leading = ranked[:1] if healthy is None and ranked and _leads(evidence, ranked[0], limits) else []
    others = [cause for cause in ranked if cause not in leading and _share(evidence, cause) >= cause.threshold(limits)]
    if healthy is None and not leading and ranked and _outweighs(evidence, ranked[0]):
        # No smaller cause leads before it, though that one may cost enough to be told.
        leading = ranked[:1]
    findings = [*([healthy] if healthy else []), *(_finding(cause, evidence, limits) for cause in (*leading, *others))]
    reasons = tuple(reason for reason in undecided if reason is not None)
    if not findings:
        return (), (*reasons, NotEvaluated(cause="compute_bound", reason=_nothing_leads(evidence)))
    alone = bool(leading) and leading[0].shown.share == late
    tied = None if alone else _tied_with(evidence, ranked, findings[0].cause, limits)
    first = msgspec.structs.replace(findings[0], primary=True, ties_with=tied)
    below = bool(leading and others) and not _reaches(evidence, leading[0], limits)
    if (first.ties_with or below) and first.cause != "compute_bound":
        first = msgspec.structs.replace(first, confidence=at_most_medium(first.confidence))
    return (first, *findings[1:]), reasons


def _makes_late(evidence: Evidence, limits: Thresholds) -> str:
    """Return the signal of the share that makes this device late for the others, empty where none is known.

    Its cause leads, since work that all devices have alike keeps nobody waiting.
    """
    kept = evidence.number("kept_waiting_share") or 0.0
    late = kept >= limits.kept_waiting_share and evidence.flag("late_beyond_chance")
    return f"share.{evidence.text('late_by')}" if late and evidence.text("late_by") else ""


def _finding(cause: Cause, evidence: Evidence, limits: Thresholds) -> Finding:
    share = _share(evidence, cause)
    time = wording.milliseconds(share * (evidence.number("step_ms") or 0.0))
    confidence = breakdown_confidence(evidence, limits, share, 0.0 if "gpu" in cause.shown.on else share)
    if confidence == "low" and only_launches_unknown(cause, evidence, limits):
        confidence = "medium"
    open_question = doubt(cause.id, evidence, limits)
    # Without a known training function, only a lack of events shows that the host was outside it.
    unsure = _function_unknown(cause, evidence) or _one_device_seen(cause, evidence) or bool(open_question)
    # Where no device is late beyond chance, each waits for another one at times.
    unsure = unsure or (cause.id == "straggler" and evidence.flag("late_beyond_chance") is False)
    return finding_of(
        evidence,
        cause.id,
        severity=share,
        confidence=at_most_medium(confidence) if unsure else confidence,
        claim=cause.shown.claim.format(device=_device(evidence), share=wording.share(share), time=time)
        + because(cause.id, evidence)
        + held_in(cause.id, evidence)
        + open_question,
        names=(cause.shown.share, "step_ms", *cause.shown.also),
        fix=TRACE_ALL if _one_device_seen(cause, evidence) else cause.fix,
        stage=stage_of(cause.id, evidence),
    )


def _undecided(cause: Cause, evidence: Evidence) -> NotEvaluated | None:
    if evidence.text("device_kind") not in cause.shown.on:
        return NotEvaluated(cause=cause.id, reason="there is no GPU in the trace")
    outside = evidence.get("idle_outside_step_fraction")
    if outside is not None and _function_unknown(cause, evidence) and not _share(evidence, cause):
        return NotEvaluated(cause=cause.id, reason=outside.missing or "the trace names no training function")
    return None


def _function_unknown(cause: Cause, evidence: Evidence) -> bool:
    """Whether the cause is time between steps, and the GPU's trace does not show the training function."""
    outside = evidence.get("idle_outside_step_fraction")
    missing = outside is not None and outside.value is None
    return cause.id == "host_between_steps" and missing and evidence.text("device_kind") == "gpu"


def _one_device_seen(cause: Cause, evidence: Evidence) -> bool:
    """Whether the cause is exchanges, and only one device's are known: they may be waits for another device."""
    return cause.id == "collective_bound" and evidence.number("kept_waiting_share") is None


def _reaches(evidence: Evidence, cause: Cause, limits: Thresholds) -> bool:
    """Whether a cause takes as much of a step as it must to be told by itself; on a GPU the largest always may lead."""
    return evidence.text("device_kind") != "cpu" or _share(evidence, cause) >= cause.threshold(limits)


def _leads(evidence: Evidence, cause: Cause, limits: Thresholds) -> bool:
    """Whether the largest cause leads: it reaches its threshold, or is larger than the unexplained time."""
    share = _share(evidence, cause)
    if share >= cause.threshold(limits):
        return share > 0
    return evidence.text("device_kind") != "cpu" and _outweighs(evidence, cause)


def _outweighs(evidence: Evidence, cause: Cause) -> bool:
    """Whether the largest cause takes more of the step than the trace leaves unexplained.

    This decides for small causes: on a processor that computes for less than half of the step, several causes may share
    the rest.
    """
    return _share(evidence, cause) > unexplained_share(evidence)


def _tied_with(evidence: Evidence, ranked: list[Cause], first: CauseId, limits: Thresholds) -> CauseId | None:
    if first == "compute_bound":
        filled = evidence.number("kernel_fraction")
        filled = max(filled or 0.0, evidence.number("share.gpu_compute") or 0.0)
        is_near = 0 < filled < limits.compute_fraction + limits.compute_margin and ranked
        return ranked[0].id if is_near else None
    if kernels_fill(evidence, limits, limits.compute_margin):
        return "compute_bound"
    second = next((cause for cause in ranked if cause.id != first), None)
    lead = next(cause for cause in ranked if cause.id == first)
    if second is None or _share(evidence, lead) - _share(evidence, second) >= limits.tie_points:
        return None
    return second.id if _share(evidence, second) > 0 else None


def _nothing_leads(evidence: Evidence) -> str:
    filled = evidence.number("kernel_fraction") or 0.0
    unknown = wording.share(unexplained_share(evidence))
    if evidence.text("device_kind") == "cpu":
        return f"the trace does not tell what the processor did in {unknown} of the step"
    if any(_share(evidence, cause) for cause in BY_SHARE):
        rest = f"no cause takes as much of the step as the {unknown} that nothing explains"
    else:
        rest = "no part of the idle time has a known cause"
    return f"kernels fill only {wording.share(filled)} of the GPU span, and {rest}"


def _device(evidence: Evidence) -> str:
    return "processor" if evidence.text("device_kind") == "cpu" else "GPU"


def _share(evidence: Evidence, cause: Cause) -> float:
    return evidence.number(cause.shown.share) or 0.0
