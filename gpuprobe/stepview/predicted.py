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
WORK_NAMES_AND_TONES = {
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
# On a processor the host's dispatching computes the operations too.
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
    """The predicted steps after a change: one pass of the replay, of `calls` calls and a length of `length_ps`.

    Where the calls of a training differ, `share` of them (0 to 1) run like these.
    """

    prediction: Prediction
    rows: tuple[Row, ...]
    length_ps: int
    calls: int
    share: float


def advised_prediction(diagnosis: Diagnosis) -> Prediction | None:
    """Return the prediction of the change that the primary finding advises; None where no such change gains."""
    gain = diagnosis.primary.predicted_gain if diagnosis.primary else None
    predictions = diagnosis.replay.predictions if diagnosis.replay else ()
    return next(
        (prediction for prediction in predictions if gain is not None and prediction.gain == gain and gain.ratio > 1),
        None,
    )


def predicted(workings: Workings, known: Known, prediction: Prediction) -> Predicted | None:
    """Replay the trace after a change; None where it cannot be replayed."""
    replayed_schedule = schedule(workings, known, prediction.change)
    if replayed_schedule is None:
        return None
    start_ps = (replayed_schedule.start_us * PS_PER_US).astype(np.int64)
    end_ps = ((replayed_schedule.start_us + replayed_schedule.us) * PS_PER_US).astype(np.int64)
    resource_rows = []
    for resource in range(int(replayed_schedule.resource.max(initial=0)) + 1):
        # Work of length zero is left out, and so are batches made before the first step.
        resource_work = np.flatnonzero(
            (replayed_schedule.resource == resource)
            & ((end_ps > start_ps) | (replayed_schedule.work == Work.MARK))
            & (end_ps >= 0)
        )
        if len(resource_work):
            resource_work = resource_work[np.argsort(start_ps[resource_work], kind="stable")]
            resource_rows.append(
                Row(
                    _resource_title(resource),
                    np.maximum(start_ps[resource_work], 0),
                    end_ps[resource_work],
                    replayed_schedule.work[resource_work],
                )
            )
    return Predicted(
        prediction,
        tuple(resource_rows),
        round(replayed_schedule.length_us * PS_PER_US),
        replayed_schedule.calls,
        replayed_schedule.share,
    )


def _resource_title(resource: int) -> str:
    resource_names = {HOST: "host", PRODUCER: "batches made ahead"}
    return resource_names.get(resource, f"device, queue {resource - FIRST_STREAM + 1}")
