"""A trace whose steps live on batches made before is less sure of the cause, and says so."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Signal
from tests.helpers.timelines import Made

SAID, UNSEEN = "what was made ahead is used up", "may live on batches made before"
PIPELINE, MAKER = "tf_data_iterator_resource", "Iterator::Root::Prefetch::BatchV2"


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


def test_two_batches_tell_no_rate_and_so_the_device_is_not_surely_full() -> None:
    found = verdict(300)
    assert SAID not in found.claim
    assert (UNSEEN in found.claim, found.confidence) == (True, "medium")


def test_a_map_of_several_threads_that_the_batches_wait_for_is_told() -> None:
    """The thread that makes a batch of samples is as slow as the parallel map below it."""
    made = filled(8)
    for number in range(4):
        at = 30.0 * number
        made.host(at, at + 30, MAKER, PIPELINE).host(at + 1, at + 29, f"{MAKER}::ParallelMapV2", PIPELINE)
    assert "takes 30.0 ms to make a batch" in judged(made).claim


# --- a trace too short to show the pace --------------------------------------------------------------------------


def filled(steps: int, take: str = "Iterator::Root::Prefetch", thread: str = "tf_data_get_next") -> Made:
    """So many steps of 20 ms that the GPU fills, each with a batch that is ready."""
    made = Made(facts={"sm_count": 40.0})
    for step in range(steps):
        at = 20.0 * step
        made.host(at, at + 19.99, "train", step=step).host(at, at + 19.8, "train_function")
        made.host(at + 0.01, at + 0.05, take, thread)
        made.kernel(at + 0.3, at + 19.7, launch=at + 0.2)
    return made.kernel(20.0 * steps, 20.0 * steps + 0.2, launch=20.0 * steps - 0.05)


def judged(made: Made, window_ms: float | None = None) -> Finding:
    clock = Signal(name="window_call_ms", unit="ms", source="test", value=window_ms, low=window_ms, high=window_ms)
    found = diagnose(Case(breakdown_of(made.timeline()), settings=(clock,) if window_ms else ())).primary
    assert found is not None
    assert found.cause == "compute_bound"
    return found


@pytest.mark.parametrize("batches", [0, 1])
def test_two_steps_of_a_buffer_that_is_hardly_filled_meanwhile_prove_nothing(batches: int) -> None:
    made = filled(2)
    for number in range(batches):
        made.host(1 + 30 * number, 29 + 30 * number, MAKER, PIPELINE)
    found = judged(made)
    assert (UNSEEN in found.claim, found.confidence) == (True, "medium")


@pytest.mark.parametrize("steps", [2, 4])
def test_two_batches_that_are_made_with_ease_show_the_pace(steps: int) -> None:
    made = filled(steps)
    for step in range(2):
        made.host(20 * step + 1, 20 * step + 5, MAKER, PIPELINE)
    assert judged(made).confidence == "high"


@pytest.mark.parametrize(("steps", "confidence"), [(4, "medium"), (20, "high")])
def test_how_fast_a_parallel_map_fills_the_buffer_takes_more_steps_than_it_holds(steps: int, confidence: str) -> None:
    made = filled(steps)
    for step in range(steps):
        made.host(20 * step + 1, 20 * step + 1.1, "Iterator::Root::Prefetch::ParallelMapV2", PIPELINE)
    assert judged(made).confidence == confidence


@pytest.mark.parametrize(
    ("kind", "steps", "confidence"),
    [("_MultiProcessing", 3, "medium"), ("_MultiProcessing", 20, "high"), ("_SingleProcess", 3, "high")],
)
def test_a_few_steps_may_live_on_what_workers_of_a_data_loader_made_before(
    kind: str, steps: int, confidence: str
) -> None:
    found = judged(filled(steps, f"enumerate(DataLoader)#{kind}DataLoaderIter.__next__", "python"))
    assert (UNSEEN in found.claim, found.confidence) == (confidence == "medium", confidence)


@pytest.mark.parametrize(
    ("window_ms", "confidence"), [(20.1, "high"), (19.9, "high"), (21.5, "medium"), (15.0, "medium")]
)
def test_a_timed_window_at_the_pace_of_the_trace_shows_that_the_batches_keep_up(
    window_ms: float, confidence: str
) -> None:
    assert judged(filled(2), window_ms).confidence == confidence
