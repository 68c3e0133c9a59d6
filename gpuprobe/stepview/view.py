"""Gathers the content of the page of a trace: lanes, strips, gaps and the predicted step, with the diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.stepview.gaps import ListedGap, gaps_of
from gpuprobe.stepview.lanes import lanes_of
from gpuprobe.stepview.predicted import Predicted, advised_prediction, predicted
from gpuprobe.stepview.strip import MOST_SEGMENTS, Strip, strip_of
from gpuprobe.stepview.thin import Thinned, thinned
from gpuprobe.whatif.run_facts import Known

if TYPE_CHECKING:
    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.ledger.breakdown import Workings
    from gpuprobe.ledger.device_breakdown import DeviceWorkings


@dataclass(frozen=True)
class View:
    """The content of the page. The first of `strips`, and `gaps`, are those of the diagnosed device.

    `begin_ps` and `end_ps` are the first and last instant shown. `why_not` is why no predicted step is shown.
    """

    diagnosis: Diagnosis
    workings: Workings
    strips: tuple[Strip, ...]
    lanes: Thinned
    gaps: tuple[ListedGap, ...]
    predicted: Predicted | None
    why_not: str
    begin_ps: int
    end_ps: int
    simulated: bool


def view_of(case: Case, diagnosis: Diagnosis) -> View:
    """Gather the content of the page. Raises InputError where there is no trace, or no event in it."""
    workings = case.workings
    lanes = [lane for lane in lanes_of(workings) if len(lane)] if workings else []
    if workings is None or not lanes:
        raise InputError(f"{case.breakdown.source}: holds no event of a trace, so there is no step to show")
    main_breakdown = main_device(workings.breakdown)
    judged_device = next((device for device in workings.devices if device.breakdown is main_breakdown), None)
    judged_first = sorted(workings.devices, key=lambda device: device is not judged_device)
    strips = tuple(strip_of(device, MOST_SEGMENTS // len(judged_first)) for device in judged_first)
    predicted_step, why_not = _predicted_step(workings, case.known or Known(), diagnosis)
    return View(
        diagnosis=diagnosis,
        workings=workings,
        strips=strips,
        lanes=thinned(lanes),
        gaps=gaps_of(judged_device, lanes) if judged_device else (),
        predicted=predicted_step,
        why_not=why_not,
        begin_ps=min([int(lane.start_ps[0]) for lane in lanes] + [int(strip.start_ps[0]) for strip in strips]),
        end_ps=max([int(lane.end_ps.max()) for lane in lanes] + [strip.end_ps for strip in strips]),
        simulated=case.simulated,
    )


def judged_of(view: View) -> DeviceWorkings | None:
    """Return the device that the verdict is about, None where the trace has no step."""
    if not view.strips:
        return None
    return view.workings.made_of(view.strips[0].breakdown)


def _predicted_step(workings: Workings, known: Known, diagnosis: Diagnosis) -> tuple[Predicted | None, str]:
    replay = diagnosis.replay
    if replay is None:
        return None, "the trace was not replayed"
    if replay.refused:
        return None, replay.refused
    prediction = advised_prediction(diagnosis)
    if prediction is None:
        return None, "no gain is predicted for the advised change"
    return predicted(workings, known, prediction), ""
