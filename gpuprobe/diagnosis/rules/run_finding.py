"""A finding from the wall time of a whole run, and the shares that its rules compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.rules.finding import finding_of

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Confidence, Evidence


def share_of_run(evidence: Evidence, *parts: str) -> float:
    """Return the share (0 to 1) that these parts take together of the run, what comes once left out."""
    return sum(evidence.number(f"run_share.{part}") or 0.0 for part in parts)


def finding_of_run(
    evidence: Evidence,
    cause: CauseId,
    share: float,
    claim: str,
    names: tuple[str, ...],
    *,
    fix: str = "",
    code: str = "",
    sure: bool = True,
    hint: bool = False,
) -> Finding:
    """Return a finding of the run.

    Its confidence is high if the figures leave no doubt (`sure`) and the run is complete, low for a `hint`, which may
    be no flaw, else medium.
    """
    by_clock: Confidence = "high" if sure and evidence.flag("run_complete") else "medium"
    return finding_of(
        evidence,
        cause,
        severity=share,
        claim=claim,
        names=(*names, "run_wall_s", "run_goodput"),
        fix=fix,
        code=code,
        confidence="low" if hint else by_clock,
        of="run",
    )
