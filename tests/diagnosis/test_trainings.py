"""Which of a process's trainings leads its report."""

from __future__ import annotations

from gpuprobe.diagnosis.case import UNTRACED, Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.trainings import Training, leading_training
from gpuprobe.ledger.breakdown import breakdown_of
from tests.helpers.timelines import Made


def test_one_with_a_trace_leads_before_one_that_only_the_clock_diagnosed() -> None:
    made = Made()
    for step in range(5):
        at = 100.0 * step
        made.host(at, at + 20, "train", step=step).kernel(at + 1, at + 20, launch=at + 0.5)
    by_clock = Training(folder="1", diagnosis=diagnose(Case(UNTRACED)))
    traced = Training(folder="2", diagnosis=diagnose(Case(breakdown_of(made.timeline()))))
    unseen = Training(folder="3", missing="the training ended before a trace was due")
    assert leading_training([unseen, by_clock, traced]) is traced
    assert leading_training([unseen, by_clock]) is by_clock
    assert leading_training([unseen]) is None
