"""The finding of a clock around the train function: how much time passes between the steps.

A trace holds a few steps and may miss a callback that runs every hundred steps. The clock covers the whole timed
window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.rule import Decided, Result, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.records import Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the finding where much time passes between steps, marked primary, and the rule if it was not evaluated."""
    findings, undecided = apply((host_between_steps,), evidence, limits)
    return tuple(msgspec.structs.replace(finding, primary=True) for finding in findings), undecided


def host_between_steps(evidence: Evidence, limits: Thresholds) -> Result:
    """Much of the timed window passes outside the train function."""
    if reason := evidence.lacking("outside_fraction"):
        return NotEvaluated(cause="host_between_steps", reason=reason)
    (share,) = evidence.numbers("outside_fraction")
    if share < limits.between_steps_share:
        return None
    return finding_of(
        evidence,
        "host_between_steps",
        severity=share,
        # A share just above the threshold may be below it in the next window.
        confidence="high" if share >= 2 * limits.between_steps_share else "medium",
        claim=f"{wording.share(share)} of the time passes between the steps: callbacks, metrics, progress bar.",
        names=("outside_fraction",),
    )
