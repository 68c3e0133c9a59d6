"""Makes the finding of a cause, with the fix that the catalogue gives for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gpuprobe.diagnosis.causes import CAUSES, CauseId
from gpuprobe.diagnosis.records import Finding

if TYPE_CHECKING:
    from gpuprobe.records import Confidence, Evidence


def finding_of(
    evidence: Evidence,
    cause: CauseId,
    *,
    severity: float,
    claim: str,
    names: tuple[str, ...],
    fix: str = "",
    code: str = "",
    confidence: Confidence = "medium",
    of: Literal["step", "run"] = "step",
    stage: str | None = None,
) -> Finding:
    """Return a finding that is not primary, with the signals of those `names` as its evidence.

    Its fix is that of the catalogue unless another `fix` is given.
    """
    return Finding(
        cause=cause,
        primary=False,
        severity=severity,
        confidence=confidence,
        claim=claim,
        evidence=evidence.only(*names),
        fix=fix or CAUSES[cause].fix,
        code=code,
        of=of,
        stage=stage,
    )
