"""Signs in the readings of an input that is too slow: a share of the time, or one thread that is busy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Confidence, Evidence, Signal
    from gpuprobe.thresholds import Thresholds


def mostly(
    evidence: Evidence,
    limits: Thresholds,
    names: tuple[str, ...],
    claim: str,
    fix: str,
    *,
    stage: str | None = None,
    confidence: Confidence = "low",
) -> Result:
    """Find the input too slow if the first signal, a share of the time, is more than half; the claim shows it."""
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="input_bound", reason=reason)
    share = evidence.numbers(*names)[0]
    if share <= limits.mostly:
        return None
    return finding_of(
        evidence,
        "input_bound",
        stage=stage,
        severity=share,
        confidence=confidence,
        claim=claim.format(wording.share(share)),
        names=names,
        fix=fix,
    )


def busiest(evidence: Evidence) -> Signal | None:
    """Return the best sign of one busy thread: the thread itself, else the process tree, else one full core.

    A thread moves between cores, so none need be full; and a full core may be another program's. None where none of
    these was read.
    """
    known = evidence.only("busiest_thread_fraction", "one_core_fraction", "pinned_core_fraction")
    return known[0] if known else None


def is_pinned(sign: Signal, limits: Thresholds) -> bool:
    """Whether this signal, which `busiest` returned, is high enough that one thread seems to fill a core."""
    enough = limits.thread_pinned if sign.name == "busiest_thread_fraction" else limits.mostly
    return float(sign.value or 0.0) >= enough


def sign_in_words(sign: Signal, *, capital: bool = False) -> str:
    """Return a sign of `busiest` as a clause."""
    share = wording.share(float(sign.value or 0.0))
    clause = {
        "busiest_thread_fraction": f"one thread kept a core {share} busy",
        "one_core_fraction": f"the command used just one core during {share} of the time",
        "pinned_core_fraction": f"one core was full during {share} of the time",
    }[sign.name]
    return clause[0].upper() + clause[1:] if capital else clause
