"""The predicted step after the advised fix, from the replay: lanes for the page, and their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.units import PS_PER_US
from gpuprobe.whatif.graph import FIRST_STREAM, HOST, PRODUCER, Work
from gpuprobe.whatif.schedule import schedule

if TYPE_CHECKING:
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.traces.timeline import Int64s
    from gpuprobe.whatif.records import Prediction
    from gpuprobe.whatif.run_facts import Known

# The name of each kind of work, and the category of its colour.
WORKS = {
    Work.MARK: ("a step begins", ""),
    Work.CALL: ("calls the training function", "idle_launch"),
    Work.DISPATCH: ("on the way to the next launch", "idle_launch"),
    Work.LAUNCH: ("launches", "idle_launch"),
    Work.BETWEEN: ("between steps", "idle_between_steps"),
    Work.COMPILE: ("compiles", "idle_compile"),
    Work.MEMORY: ("allocates memory", "idle_memory"),
    Work.INPUT: ("gets the batch", "idle_input"),
    Work.SYNC: ("synchronises", "idle_sync"),
    Work.COPYING: ("copies, and waits for it", "idle_sync"),
    Work.HELD: ("works itself", "idle_host_work"),
    Work.ONCE: ("does what is done once", "idle_once"),
    Work.PRODUCE: ("makes a batch", "idle_input"),
    Work.KERNEL: ("kernel", "gpu_compute"),
    Work.COLLECTIVE: ("exchange", "gpu_collective"),
    Work.H2D: ("copy to the GPU", "gpu_copy_h2d"),
    Work.D2H: ("copy to the host", "gpu_copy_d2h"),
    Work.D2D: ("copy on the GPU", "gpu_copy_d2d"),
}
# On a processor the host's dispatching is the computing.
ON_PROCESSOR = "cpu_compute"


@dataclass(frozen=True)
class Row:
    """The work of one resource: `start_ps` and `end_ps` (n,) after the first step's start, `work` (n,) of `Work`."""

    title: str
    start_ps: Int64s
    end_ps: Int64s
    work: Int64s


@dataclass(frozen=True)
class Predicted:
    """The steps after a change. A pass is `calls` calls, and the next pass begins `length_ps` later.

    Where calls differ, `share` of them (0 to 1) run like these.
    """

    prediction: Prediction
    rows: tuple[Row, ...]
    length_ps: int
    calls: int
    share: float


def advised(diagnosis: Diagnosis) -> Prediction | None:
    """Return the prediction of the change that the primary finding advises; None where it advises none that gains."""
    gain = diagnosis.primary.predicted_gain if diagnosis.primary else None
    made = diagnosis.replay.predictions if diagnosis.replay else ()
    return next(
        (prediction for prediction in made if gain is not None and prediction.gain == gain and gain.ratio > 1), None
    )


def predicted(workings: Workings, known: Known, prediction: Prediction) -> Predicted | None:
    """Replay the trace after a change; None where it cannot be replayed."""
    replayed = schedule(workings, known, prediction.change)
    if replayed is None:
        return None
    start = (replayed.start_us * PS_PER_US).astype(np.int64)
    end = ((replayed.start_us + replayed.us) * PS_PER_US).astype(np.int64)
    rows = []
    for resource in range(int(replayed.resource.max(initial=0)) + 1):
        # Without work of length zero, and batches made before the first step.
        mine = np.flatnonzero(
            (replayed.resource == resource) & ((end > start) | (replayed.work == Work.MARK)) & (end >= 0)
        )
        if len(mine):
            mine = mine[np.argsort(start[mine], kind="stable")]
            rows.append(Row(_title(resource), np.maximum(start[mine], 0), end[mine], replayed.work[mine]))
    return Predicted(prediction, tuple(rows), round(replayed.length_us * PS_PER_US), replayed.calls, replayed.share)


def _title(resource: int) -> str:
    names = {HOST: "host", PRODUCER: "batches made ahead"}
    return names.get(resource, f"device, queue {resource - FIRST_STREAM + 1}")
