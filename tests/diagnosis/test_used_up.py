"""A trace whose steps live on batches made before is less sure of the cause, and says so."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger.breakdown import breakdown_of
from tests.helpers.timelines import Made

SAID = "what was made ahead is used up"


def verdict(making_ms: float, maker: str = "Map", samples: int = 1, batches: int = 1) -> Finding:
    """Eight steps of 100 ms that the GPU fills, each with so many batches; another thread makes these meanwhile."""
    made = Made()
    for step in range(8):
        at = 100.0 * step
        made.host(at, at + 99.9, "train", step=step).host(at, at + 99, "train_function")
        made.kernel(at + 0.5, at + 99.5, launch=at + 0.3)
        for batch in range(batches):
            made.host(at + 0.1 * batch, at + 0.1 * batch + 0.05, "Iterator::Root::Prefetch", "tf_data_get_next")
    made.kernel(800, 801, launch=799.9)
    thread, stage = "tf_data_iterator_resource", f"Iterator::Root::Prefetch::{maker}"
    for number in range(int(800 / max(making_ms, 100 / batches))):
        start = number * max(making_ms, 100 / batches)
        made.host(start, start + making_ms, stage, thread)
        for sample in range(samples if samples > 1 else 0):
            each = making_ms / samples
            made.host(start + sample * each, start + (sample + 0.9) * each, f"{stage}::Map", thread)
    found = diagnose(Case(breakdown_of(made.timeline()))).primary
    assert found is not None
    return found


@pytest.mark.parametrize(("making_ms", "used_up"), [(60, False), (100, False), (105, False), (125, True), (200, True)])
def test_a_pipeline_slower_than_the_traced_steps_is_told(making_ms: float, used_up: bool) -> None:
    found = verdict(making_ms)
    assert found.cause == "compute_bound"
    assert (SAID in found.claim, found.confidence) == (used_up, "medium" if used_up else "high")


def test_its_batches_are_made_of_samples_by_one_thread() -> None:
    assert "takes 150 ms to make a batch, and one is taken every 100 ms" in verdict(150, "BatchV2", samples=4).claim


@pytest.mark.parametrize(("making_ms", "used_up"), [(45, False), (75, True)])
def test_a_step_may_take_several_batches(making_ms: float, used_up: bool) -> None:
    assert (SAID in verdict(making_ms, batches=2).claim) == used_up


def test_how_fast_several_threads_make_batches_is_not_told_by_one() -> None:
    assert SAID not in verdict(150, "ParallelMapV2").claim


def test_two_batches_tell_no_rate() -> None:
    assert SAID not in verdict(300).claim
