"""What a rule is, and how a list of them is applied to evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.records import Evidence
from gpuprobe.thresholds import Thresholds

# None where the rule was decided and does not hold.
Result = Finding | NotEvaluated | None
Rule = Callable[[Evidence, Thresholds], Result]
Decided = tuple[tuple[Finding, ...], tuple[NotEvaluated, ...]]


def apply(rules: Iterable[Rule], evidence: Evidence, limits: Thresholds) -> Decided:
    """Return what holds, the most severe first, and the rules that could not be decided."""
    results = [rule(evidence, limits) for rule in rules]
    found = sorted((result for result in results if isinstance(result, Finding)), key=lambda found: -found.severity)
    return tuple(found), tuple(result for result in results if isinstance(result, NotEvaluated))
