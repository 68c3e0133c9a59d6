"""Findings on lost time from a signal beside the step-time breakdown, for each cause whose record names a `Cost`."""

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
    from gpuprobe.diagnosis.causes.cause import Cost
    from gpuprobe.records import Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the findings, none primary, and the causes whose signal is missing."""
    return apply(RULES, evidence, limits)


def lost(evidence: Evidence, limits: Thresholds, *, cause: Cause, cost: Cost) -> Result:
    """The cause's signal reaches its threshold; if it was measured, its interval does not include zero."""
    if reason := evidence.lacking(cost.share):
        return NotEvaluated(cause=cause.id, reason=reason)
    (share,) = evidence.numbers(cost.share)
    signal = evidence.get(cost.share)
    low = signal.low if signal else None
    if share < getattr(limits, cost.threshold) or (low is not None and low <= 0):
        return None
    values = {name: _in_words(evidence, name) for name in cost.also}
    return finding_of(
        evidence,
        cause.id,
        severity=share,
        confidence="high" if cost.sure or low is not None else "medium",
        claim=cost.claim.format(share=wording.share(share), **values),
        names=(cost.share, *cost.also, *cause.signals),
    )


def _in_words(evidence: Evidence, name: str) -> str:
    value = evidence.number(name)
    return f"{value:.0f}" if value is not None else evidence.text(name) or "several"


RULES: tuple[Rule, ...] = tuple(partial(lost, cause=cause, cost=cause.cost) for cause in CATALOGUE if cause.cost)
