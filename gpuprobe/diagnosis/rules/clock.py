"""What a clock around the train function tells of a watched training: how much time passes between its steps.

A trace is of a few steps, so that it may miss a callback that comes every hundred; the clock sees the whole timed
window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.rule import Decided, Result, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.records import Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the finding, which is primary, where much time passes between steps."""
    found, undecided = apply((host_between_steps,), evidence, limits)
    return tuple(msgspec.structs.replace(one, primary=True) for one in found), undecided


def host_between_steps(evidence: Evidence, limits: Thresholds) -> Result:
    """So much of the timed window passes outside the train function."""
    if reason := evidence.lacking("outside_fraction"):
        return NotEvaluated(cause="host_between_steps", reason=reason)
    (share,) = evidence.numbers("outside_fraction")
    if share < limits.between_steps_share:
        return None
    return Finding(
        cause="host_between_steps",
        primary=False,
        severity=share,
        # What is just above the threshold may lie below it in the next window.
        confidence="high" if share >= 2 * limits.between_steps_share else "medium",
        claim=f"{wording.share(share)} of the time passes between the steps: callbacks, metrics, progress bar.",
        evidence=evidence.only("outside_fraction"),
        fix=CAUSES["host_between_steps"].fix,
    )
