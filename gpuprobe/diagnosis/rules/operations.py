"""What the operations of a step prove: a loop in the model that takes the samples of a batch one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from gpuprobe.diagnosis.rules.rule import Result
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


def serial_loop(evidence: Evidence, limits: Thresholds) -> Result:
    """A loop in the graph of the step that turns once for each sample, or a `tf.map_fn`."""
    names = ("loop_share", "loop_turns", "loop_maps")
    if reason := evidence.lacking(*names):
        return NotEvaluated(cause="serial_loop", reason=reason)
    share, turns = evidence.numbers("loop_share", "loop_turns")
    turns /= evidence.number("steps_per_execution") or 1.0
    if share < limits.loop_share or turns < limits.loop_turns:
        return None
    batch = evidence.number("batch_size")
    of_samples = bool(batch) and fixed.TURNS_NOTED_LOW <= turns / (batch or 1.0) <= fixed.TURNS_NOTED_HIGH
    if of_samples:
        once = f"once for each of the {batch:.0f} samples of a batch, one after the other"
    elif evidence.flag("loop_maps"):
        once = "once for each element, one after the other"
    elif batch is None:
        once = f"{turns:.0f} times a step, which may be once for each sample: how many a batch has is not known"
    else:
        return None
    return Finding(
        cause="serial_loop",
        primary=False,
        severity=share,
        confidence="medium" if not of_samples and not evidence.flag("loop_maps") else "high",
        claim=f"A loop in the model's graph, {evidence.text('loop')}, takes {wording.share(share)} of the step: it "
        f"turns {once}.",
        evidence=evidence.only(*names, "batch_size"),
        fix=CAUSES["serial_loop"].fix,
    )
