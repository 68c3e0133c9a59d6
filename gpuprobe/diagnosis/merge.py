"""Merges findings of several kinds of evidence into one for each cause, whose severities fit into one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.confidence import SURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding


def merged(votes: Sequence[Sequence[Finding]], conditions: Sequence[Finding]) -> list[Finding]:
    """Return one finding for each cause, with the evidence and the gains of all findings that name it.

    Its claim and severity come from the first kind of evidence with more than low confidence: from the step-time
    breakdown where there is a trace. A finding of `conditions` (as in `join`) replaces it if it is surer, or as sure
    and more severe, since it rests on all evidence together.
    """
    by_cause: dict[CauseId, Finding] = {}
    for finding in (finding for vote in votes for finding in vote):
        known = by_cause.get(finding.cause)
        if known is None or known.confidence == "low" != finding.confidence:
            by_cause[finding.cause] = _completed(finding, known)
        else:
            by_cause[finding.cause] = _completed(known, finding)
    by_cause = {finding.cause: finding for finding in within_a_step([*by_cause.values()])}
    for condition in conditions:
        known = by_cause.get(condition.cause)
        if known is None or _strength(condition) > _strength(known):
            by_cause[condition.cause] = _completed(condition, known)
        else:
            by_cause[condition.cause] = _completed(known, condition)
    return sorted(by_cause.values(), key=lambda finding: (CAUSES[finding.cause].condition, -finding.severity))


def within_a_step(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with severities that add up to at most one step over all exclusive causes.

    Kinds of evidence that see different steps may claim more. Then the first finding keeps its share, and the next ones
    get what is left. Conditions overlap the other causes and keep theirs.
    """
    limited: list[Finding] = []
    for finding in findings:
        severity = finding.severity
        if CAUSES[finding.cause].exclusive:
            severity = min(severity, left_of_step(limited))
        limited.append(msgspec.structs.replace(finding, severity=severity))
    return limited


def left_of_step(findings: Iterable[Finding]) -> float:
    """Return the share of the step (0 to 1) that the exclusive causes among the findings leave."""
    return max(0.0, 1 - sum(finding.severity for finding in findings if CAUSES[finding.cause].exclusive))


def _strength(finding: Finding) -> tuple[int, float]:
    return SURE[finding.confidence], finding.severity


def _completed(finding: Finding, other: Finding | None) -> Finding:
    """Return a finding, completed by another one of the same cause; not primary yet."""
    if other is None:
        return msgspec.structs.replace(finding, primary=False)
    names = {signal.name for signal in finding.evidence}
    return msgspec.structs.replace(
        finding,
        primary=False,
        confidence=max(finding.confidence, other.confidence, key=lambda confidence: SURE[confidence]),
        evidence=(*finding.evidence, *(signal for signal in other.evidence if signal.name not in names)),
        stage=finding.stage or other.stage,
        code=finding.code or other.code,
        predicted_gain=finding.predicted_gain or other.predicted_gain,
        measured_gain=finding.measured_gain or other.measured_gain,
    )
