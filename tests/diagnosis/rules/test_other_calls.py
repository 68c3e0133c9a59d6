"""Functions called beside the training function are no steps, and time between steps names them."""

from __future__ import annotations

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.ledger.breakdown import breakdown_of
from tests.helpers.timelines import Made

GRADIENT = "StatefulPartitionedCall/gradient_tape/dense/MatMul/MatMul:MatMul"


def called(
    made: Made, at: float, lasts: float, number: int, operation: str, name: str = "multi_step_on_iterator"
) -> None:
    """One call of a compiled function of Keras's, whose operation takes most of it."""
    made.host(at, at + lasts, name).host(at + 0.1, at + lasts - 0.1, f"EagerLocalExecute: __inference_{name}_{number}")
    made.host(at + 0.2, at + lasts - 0.2, operation, "tf_Compute")


def steps(evaluated: int, own_ms: float = 0.0) -> Made:
    """Five steps of 10 ms; after each, so many calls of `evaluate`'s function, with a pass that begins in 20 ms."""
    made, at = Made(), 0.0
    for _ in range(5):
        called(made, at, 10.0, 1, GRADIENT)
        at += 10 + own_ms
        if evaluated:
            made.host(at, at + 5, "tf.function-graph_building").host(at + 5, at + 20, "EagerLocalExecute: MakeIterator")
            at += 20
        for _ in range(evaluated):
            called(made, at, 5.0, 2, "StatefulPartitionedCall/dense/MatMul:MatMul")
            at += 5
    return made


def judged(made: Made) -> tuple[Diagnosis, Finding]:
    diagnosis = diagnose(Case(breakdown_of(made.timeline())))
    assert diagnosis.primary is not None
    return diagnosis, diagnosis.primary


def test_calls_of_evaluate_are_no_steps() -> None:
    diagnosis, found = judged(steps(evaluated=8))
    assert diagnosis.devices[0].steps == 5
    assert diagnosis.devices[0].each_step[1].step_ms == 70
    assert (found.cause, found.stage, found.confidence) == ("host_between_steps", "other_functions", "medium")
    assert "other functions (multi_step_on_iterator), and 0.80 passes over a dataset begin" in found.claim


def test_graphs_of_a_dataset_are_not_those_of_the_step() -> None:
    diagnosis, _ = judged(steps(evaluated=8))
    assert diagnosis.hosts[0].graphs_built == 0
    assert "eager_or_retracing" not in {finding.cause for finding in diagnosis.findings}


def test_python_s_own_work_between_the_steps_is_no_other_function() -> None:
    _, found = judged(steps(evaluated=0, own_ms=30.0))
    assert (found.cause, found.stage, found.confidence) == ("host_between_steps", None, "high")


def test_functions_of_which_none_computes_gradients_are_all_steps() -> None:
    made = Made()
    for at in range(0, 60, 20):
        called(made, at, 10.0, 1, "dense/MatMul:MatMul")
        called(made, at + 10, 10.0, 2, "dense/MatMul:MatMul")
    assert judged(made)[0].devices[0].steps == 6
