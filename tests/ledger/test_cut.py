"""A trace that holds a part of a step is never sure of a cause that the whole step does not have."""

from __future__ import annotations

import csv
from pathlib import Path

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger import cut
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.traces.read import read
from gpuprobe.traces.timeline import Timeline
from tests.helpers.cutting import PARTS, Border, part_of
from tests.helpers.timelines import Made

STEP = 100.0
CUTS: tuple[tuple[str, Border], ...] = (
    ("first half", "whole"),
    ("first half", "clipped"),
    ("second half", "whole"),
    ("second half", "clipped"),
    ("middle", "begun"),
)


def launching(steps: int = 1, *, marked: bool = True) -> Made:
    """Steps of 10 ms in which 40 kernels of 50 us are launched slowly, one every 150 us."""
    made = Made(unit_ms=0.1)
    for step in range(steps):
        at = STEP * step
        made.host(at, at + 61, "train_function")
        if marked:
            made.host(at - 1, at + 90, "train", step=step)
        for place in range(40):
            begin = at + 1 + 1.5 * place
            made.kernel(begin + 0.1, begin + 0.6, launch=begin)
    return made


def told(timeline: Timeline) -> str:
    (device,) = breakdown_of(timeline).devices
    return device.cut


def primary(timeline: Timeline) -> Finding:
    found = diagnose(Case(breakdown_of(timeline))).primary
    assert found is not None
    return found


def test_a_marked_step_in_which_all_that_was_launched_ran_is_whole() -> None:
    assert told(launching().timeline()) == ""
    assert primary(launching().timeline()).confidence == "high"


def test_of_several_steps_none_needs_a_mark() -> None:
    assert told(launching(2, marked=False).timeline()) == ""


def test_one_step_that_nothing_marks_may_go_on() -> None:
    assert told(launching(marked=False).timeline()) == cut.UNMARKED
    found = primary(launching(marked=False).timeline())
    assert (found.cause, found.confidence) == ("launch_bound", "medium")
    assert cut.UNMARKED in found.claim


def test_work_without_its_launch_at_the_start_was_launched_before() -> None:
    queued = launching().kernel(-3.0, -2.5, launch=-5.0).kernel(-1.9, -1.5, launch=-4.0).timeline()
    assert told(queued) == ""
    # From between the launches of the first two and their starts on.
    assert told(part_of(queued, (0.01, 2.0), "whole")) == cut.LAUNCHED_BEFORE


def test_work_that_has_not_run_at_the_end_is_missing() -> None:
    queued = launching().kernel(95, 96, launch=62.0).timeline()
    assert told(part_of(queued, (-1.0, 0.9), "clipped")) == cut.LEFT_OVER


def test_a_marked_step_that_reaches_beyond_the_work_goes_on() -> None:
    whole = launching(marked=False).line(1.1, 60.0).timeline()
    assert told(whole) == ""
    assert told(part_of(whole, (-1.0, 0.5), "begun")) == cut.GOES_ON


def test_what_ends_together_was_cut_there() -> None:
    whole = launching().host(0, 80, "wait", thread="other").timeline()
    assert told(whole) == ""
    assert told(part_of(whole, (-1.0, 0.5), "clipped")) == cut.AT_THE_BORDER
    assert told(part_of(whole, (0.5, 2.0), "clipped")) == cut.AT_THE_BORDER


def test_a_marker_and_what_it_encloses_begin_together_only_where_they_were_cut() -> None:
    whole = launching().host(0.5, 59, "forward").timeline()
    assert told(whole) == ""
    assert told(part_of(whole, (0.5, 2.0), "clipped")) == cut.AT_THE_BORDER


def test_the_pace_of_launching_needs_no_step_but_launches() -> None:
    def unmarked(count: int, *, exchanges: bool = False) -> Finding:
        made = Made(unit_ms=0.1)
        for place in range(count):
            made.kernel(1.5 * place + 0.1, 1.5 * place + 0.6, launch=1.5 * place)
        if exchanges:
            made.kernel(1.5 * count + 0.1, 1.5 * count + 0.6, launch=1.5 * count, name="ncclDevKernel_AllReduce")
        return primary(made.timeline())

    assert (unmarked(40).cause, unmarked(40).confidence) == ("launch_bound", "high")
    assert unmarked(8).confidence != "high"
    assert unmarked(40, exchanges=True).confidence != "high", "others may be waited for in the rest of the step"


def test_no_part_of_a_real_trace_is_sure_of_what_the_whole_does_not_accept(real_traces: Path) -> None:
    labels = {row["file"]: row["label"].split(" or ") for row in csv.DictReader((real_traces / "INDEX.csv").open())}
    files = [*real_traces.glob("tensorflow/*.pb"), *real_traces.glob("pytorch/**/*.json.gz")]
    assert len(files) >= 50
    for file in files:
        timeline = read(file)
        whole = primary(timeline)
        accepted = {whole.cause, whole.ties_with, *labels.get(str(file.relative_to(real_traces)), ())}
        for name, border in CUTS:
            found = primary(part_of(timeline, PARTS[name], border))
            told = f"{name} of {file.name}, {border}: {found.claim}"
            assert found.confidence != "high" or found.cause in accepted, told
