"""Time between steps that passes in other functions, as `predict` and `evaluate` call them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.rules.trace_confidence import at_most_medium

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


def with_other_calls(findings: Sequence[Finding], known: Evidence, limits: Thresholds) -> tuple[Finding, ...]:
    """Return the findings; time between steps names the other functions if they take most of it.

    A trace does not tell whether they are called in each step of the training, or only in the steps that were traced.
    """
    return tuple(_named(finding, known, limits) for finding in findings)


def _named(finding: Finding, known: Evidence, limits: Thresholds) -> Finding:
    share = known.number("other_calls_share") or 0.0
    if finding.cause != "host_between_steps" or finding.of != "step" or share < limits.mostly * finding.severity:
        return finding
    names, passes = known.text("other_functions"), known.number("passes_per_step") or 0.0
    what = f"other functions ({names})" if names else "other functions"
    begins = f", and {wording.significant(passes, 2)} passes over a dataset begin" if passes else ""
    return msgspec.structs.replace(
        finding,
        stage="other_functions",
        confidence=at_most_medium(finding.confidence),
        claim=f"{finding.claim} In {wording.share(share)} of the step it calls {what}{begins}: that may be `predict`, "
        "`evaluate` or validation. Whether each step of the training does so, the trace does not tell.",
        evidence=(*finding.evidence, *known.only("other_calls_share", "other_functions", "passes_per_step")),
    )
