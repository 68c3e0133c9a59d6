"""How sure a trace is of a cause: by its breakdown, and by how much of the step is unexplained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import Cause
    from gpuprobe.records import Confidence, Evidence
    from gpuprobe.thresholds import Thresholds


def breakdown_confidence(
    evidence: Evidence, limits: Thresholds, share: float = 0.0, explained: float = 0.0
) -> Confidence:
    """Return the confidence of the breakdown for a cause with a `share` of the step; low if too much is unexplained.

    If no launched work is missing, a share larger than the unexplained one leads whatever that time may be: then it is
    medium. `explained` is the part of the unexplained time that the cause accounts for, where it overlaps the
    categories. Of a processor's waits for its threads it is known that they belong to no cause of the step: they count
    only against a smaller one.
    """
    unexplained, waited = unexplained_share(evidence), evidence.number("share.waited") or 0.0
    if unexplained - waited > limits.unattributed_share or (waited and share <= unexplained):
        return "medium" if _all_work_seen(evidence) and share > unexplained - explained else "low"
    confidence = evidence.text("breakdown_confidence")
    return "high" if confidence == "high" else "medium" if confidence == "medium" else "low"


def only_launches_unknown(cause: Cause, evidence: Evidence, limits: Thresholds) -> bool:
    """Whether the breakdown is unsure only because the launch calls of the device's work are not known.

    That matters only for late launches: they are the rest of the time in the training function, while every other cause
    has events of its own.
    """
    if cause.id == "launch_bound" and evidence.number("idle_outside_step_fraction") is None:
        return False
    joined, lost = evidence.number("joined_fraction"), evidence.number("lost_fraction") or 0.0
    explained = unexplained_share(evidence) <= limits.unattributed_share
    return joined is not None and joined < fixed.JOINED_LOW and explained and lost <= fixed.LOST_LOW


def _all_work_seen(evidence: Evidence) -> bool:
    """Whether all launched work is in the trace; on a processor it always is."""
    if evidence.text("device_kind") == "cpu":
        return True
    joined, lost = evidence.number("joined_fraction") or 0.0, evidence.number("lost_fraction")
    return joined >= fixed.JOINED_HIGH and lost is not None and lost <= fixed.LOST_HIGH


def at_most_medium(confidence: Confidence) -> Confidence:
    """Return the confidence, medium in place of high."""
    return "medium" if confidence == "high" else confidence


def unexplained_share(evidence: Evidence) -> float:
    """Return the share of the step without a cause (0 to 1): unattributed, or with launched work that did not start."""
    return (evidence.number("share.unattributed") or 0.0) + (evidence.number("share.stalled") or 0.0)
