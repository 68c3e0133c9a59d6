"""The finding of a condition that holds beside the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpuprobe.diagnosis.causes import CAUSES, CauseId
from gpuprobe.diagnosis.records import Finding

if TYPE_CHECKING:
    from gpuprobe.records import Confidence, Evidence


def condition(
    evidence: Evidence,
    cause: CauseId,
    *,
    severity: float,
    claim: str,
    names: tuple[str, ...],
    code: str = "",
    confidence: Confidence = "medium",
) -> Finding:
    """Return the finding, with the evidence of those `names`, and the fix that the catalogue gives for its cause."""
    words: dict[str, Any] = {"claim": claim, "fix": CAUSES[cause].fix, "code": code, "confidence": confidence}
    return Finding(cause=cause, primary=False, severity=severity, evidence=evidence.only(*names), **words)
