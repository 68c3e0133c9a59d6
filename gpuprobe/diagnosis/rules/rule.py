"""The types of a rule and its result, and the application of rules to evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.records import Evidence
from gpuprobe.thresholds import Thresholds

# None: the rule could be decided, and does not hold.
Result = Finding | NotEvaluated | None
Rule = Callable[[Evidence, Thresholds], Result]
Decided = tuple[tuple[Finding, ...], tuple[NotEvaluated, ...]]


def apply(rules: Iterable[Rule], evidence: Evidence, limits: Thresholds) -> Decided:
    """Return the findings, the most severe first, and the rules that could not be decided."""
    results = [rule(evidence, limits) for rule in rules]
    findings = sorted(
        (result for result in results if isinstance(result, Finding)), key=lambda finding: -finding.severity
    )
    return tuple(findings), tuple(result for result in results if isinstance(result, NotEvaluated))
