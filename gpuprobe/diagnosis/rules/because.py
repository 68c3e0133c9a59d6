"""What in a trace makes a cause what it is, as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.ledger.pipeline import PYTHON_STAGE

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.records import Evidence


def because(cause: CauseId, evidence: Evidence) -> str:
    """Say what makes it so in this trace, as a sentence with a space before it; empty where the trace does not tell."""
    if cause == "compute_bound" and (operations := evidence.text("operations")):
        return f" The operations that take longest, of the step: {operations}."
    if cause == "launch_bound":
        count, median_us = evidence.number("kernels_per_step"), evidence.number("kernel_median_us")
        if count is not None and median_us is not None:
            length = wording.milliseconds(median_us / 1000)
            return f" A step starts {count:,.0f} kernels one by one, and the median one runs for {length}."
    if cause == "input_bound" and (stage := evidence.text("slowest_iterator")):
        slowest = stage.rpartition("::")[2]
        if slowest == PYTHON_STAGE:
            return " Python gathers each batch and makes tensors of it before the step can begin."
        if slowest.startswith(("Prefetch", "Model", "Root")):
            return " What fills its buffer of batches is slower than the training, and the trace shows no more of it."
        return f" The slowest stage of the pipeline is {slowest}."
    if cause == "collective_bound" and evidence.number("kept_waiting_share") is None:
        return " What of it is waiting for another device only the traces of all devices tell."
    return ""
