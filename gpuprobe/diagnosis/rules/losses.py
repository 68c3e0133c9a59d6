"""Findings on lost time from a signal beside the step-time breakdown, for each cause whose record names a `Loss`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CATALOGUE
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.rule import Decided, Result, Rule, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import Cause
    from gpuprobe.diagnosis.causes.cause import Loss
    from gpuprobe.records import Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, none primary, and the causes whose signal is missing."""
    return apply(RULES, evidence, limits)


def lost(evidence: Evidence, limits: Thresholds, *, cause: Cause, loss: Loss) -> Result:
    """The cause's signal reaches its threshold; if it was measured, its interval does not include zero."""
    if reason := evidence.lacking(loss.share):
        return NotEvaluated(cause=cause.id, reason=reason)
    (share,) = evidence.numbers(loss.share)
    signal = evidence.get(loss.share)
    low = signal.low if signal else None
    if share < getattr(limits, loss.threshold) or (low is not None and low <= 0):
        return None
    values = {name: _in_words(evidence, name) for name in loss.also}
    return finding_of(
        evidence,
        cause.id,
        severity=share,
        confidence="high" if loss.sure or low is not None else "medium",
        claim=loss.claim.format(share=wording.share(share), **values),
        names=(loss.share, *loss.also, *cause.signals),
    )


def _in_words(evidence: Evidence, name: str) -> str:
    value = evidence.number(name)
    return f"{value:.0f}" if value is not None else evidence.text(name) or "several"


RULES: tuple[Rule, ...] = tuple(partial(lost, cause=cause, loss=cause.loss) for cause in CATALOGUE if cause.loss)
