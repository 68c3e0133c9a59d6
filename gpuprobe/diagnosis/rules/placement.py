"""Which device a run trained on: the finding that its settings and the driver's list of GPUs prove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.records import NotEvaluated
from gpuprobe.diagnosis.rules.finding import finding_of
from gpuprobe.diagnosis.rules.rule import Decided, Result, apply
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from gpuprobe.records import Evidence


def decide(evidence: Evidence, limits: Thresholds = DEFAULTS) -> Decided:
    """Return the finding where the run trained on the processor beside an idle GPU, and the rule if not evaluated.

    The finding is primary.
    """
    findings, undecided = apply((not_on_gpu,), evidence, limits)
    return tuple(msgspec.structs.replace(finding, primary=True) for finding in findings), undecided


def not_on_gpu(evidence: Evidence, limits: Thresholds) -> Result:
    """TensorFlow trains on the processor although the driver sees a GPU."""
    del limits
    if evidence.lacking("gpu", "device_is_gpu"):
        return NotEvaluated(cause="not_on_gpu", reason="no run reached its timed window")
    if not evidence.flag("gpu") or evidence.flag("device_is_gpu"):
        return None
    return finding_of(
        evidence,
        "not_on_gpu",
        severity=1.0,
        confidence="high",
        claim="The driver sees a GPU, but TensorFlow trained on the processor.",
        names=("gpu", "device_is_gpu"),
    )
