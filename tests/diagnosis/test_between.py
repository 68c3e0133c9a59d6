"""Time between the steps of JAX, where the next batch is made: feeding where Python makes it, and else not sure."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Signal
from tests.helpers.timelines import Made


def verdict(call: str, **known: Any) -> Finding:
    """Steps of 100 ms, of which the call of the training function and its kernel take 20."""
    made = Made()
    for step in range(5):
        at = 100.0 * step
        made.host(at, at + 20, "train", step=step).host(at, at + 20, call).kernel(at + 1, at + 20, launch=at + 0.5)
    settings = tuple(Signal(name=name, unit="", source="test", value=value) for name, value in known.items())
    found = diagnose(Case(breakdown_of(made.timeline()), settings=settings)).primary
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["a generator", "a PyDataset"])
@pytest.mark.parametrize(("callbacks", "confidence"), [("", "high"), ("Mine", "medium"), (None, "medium")])
def test_a_batch_that_python_makes_is_feeding(kind: str, callbacks: str | None, confidence: str) -> None:
    known = {"data_kind": kind} if callbacks is None else {"data_kind": kind, "own_callbacks": callbacks}
    found = verdict("PjitFunction(train_step)", **known)
    assert (found.cause, found.stage, found.confidence) == ("input_bound", "python_feed", confidence)
    assert f"from {kind}" in found.claim
    assert "logging" not in found.claim


@pytest.mark.parametrize("known", [{}, {"data_kind": "arrays", "own_callbacks": ""}])
def test_where_nobody_tells_what_was_done_it_is_not_sure(known: dict[str, str]) -> None:
    found = verdict("PjitFunction(train_step)", **known)
    assert (found.cause, found.confidence) == ("host_between_steps", "medium")
    assert "The next batch is fetched there too" in found.claim


def test_tensorflow_fetches_its_batch_within_the_call() -> None:
    found = verdict("train_function", data_kind="a generator", own_callbacks="")
    assert (found.cause, found.confidence) == ("host_between_steps", "high")


def piped(making: float, waiting: float) -> Finding:
    """Steps of 100 ms on a processor: a wait for a batch, 20 of computing, and the rest outside the function.

    A thread of the pipeline is at work for `making` of each.
    """
    made, threads = Made(), ("tf_data_iterator_get_next/1", "tf_data_private_threadpool/2")
    for step in range(5):
        at, until = 100.0 * step, 100.0 * step + waiting + 20
        made.host(at, until, "train", step=step).host(at, until, "train_function")
        made.host(at, at + waiting, "IteratorGetNextOp::DoCompute", threads[0])
        made.host(at, at + making, "Iterator::Root::Prefetch::ParallelMap", threads[1])
        made.host(at + waiting, until, "model/dense/MatMul:MatMul", "tf_Compute/3")
    found = diagnose(Case(breakdown_of(made.timeline()))).primary
    assert found is not None
    return found


def test_a_pipeline_that_never_pauses_sets_the_pace_between_the_steps_too() -> None:
    found = piped(making=99, waiting=30)
    assert (found.cause, found.confidence) == ("input_bound", "medium")
    assert found.severity == pytest.approx(0.8, abs=0.01)
    assert piped(making=99, waiting=45).confidence == "high"


@pytest.mark.parametrize(("making", "waiting"), [(40, 30), (99, 2)])
def test_one_that_pauses_or_is_not_waited_for_does_not(making: float, waiting: float) -> None:
    assert piped(making, waiting).cause == "host_between_steps"


@pytest.mark.parametrize(("program_ms", "cause"), [(97.0, "compute_bound"), (50.0, "input_bound")])
def test_time_after_a_call_that_returned_early_may_be_a_wait_for_its_result(program_ms: float, cause: str) -> None:
    """Reading the loss after each step of JAX waits there while the processor computes."""
    made = Made()
    for step in range(5):
        at = 100.0 * step
        made.host(at, at + 100, "train", step=step).host(at, at + 1, "PjitFunction(train_step)")
        made.host(at + 1, at + 1 + program_ms, "ThunkExecutor::Execute", "xla")
    values: dict[str, float | str] = {
        "outside_fraction": 0.9,
        "window_call_ms": 100.0,
        "data_kind": "a generator",
        "own_callbacks": "",
    }
    settings = tuple(
        Signal(name=name, unit="", source="test", value=value, low=value if isinstance(value, float) else None)
        for name, value in values.items()
    )
    found = diagnose(Case(breakdown_of(made.timeline()), settings=settings)).primary
    assert found is not None
    assert found.cause == cause
