"""Operations that Python starts outside the training function are work between the steps, not the step's own."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from tests.helpers.timelines import Made

CALL = "multi_step_on_iterator"
READ = "EagerLocalExecute: ReadVariableOp"


def steps(inside: str) -> Made:
    """Return four steps of 20 ms: 4 ms in the training function, then 15 ms of operations that Python starts."""
    made = Made()
    for step in range(4):
        start = 20.0 * step
        made.host(start, start + 4, "train", step=step)
        made.host(start + 0.1, start + 3.9, inside)
        made.host(start + 0.5, start + 3.5, "model/dense/MatMul:MatMul", thread="tf_Compute")
        for place in range(30):
            made.host(start + 4.5 + place / 2, start + 4.9 + place / 2, READ)
    return made


def test_saving_after_each_step_is_no_eager_step() -> None:
    breakdown = breakdown_of(steps(CALL).timeline())
    (device,) = breakdown.devices
    assert device.ledger_ms["idle_between_steps"] == pytest.approx(16.2)
    assert device.dispatch_fraction == 0.0
    assert breakdown.hosts[0].eager_ms_per_step == 0.0
    found = diagnose(Case(breakdown))
    assert found.primary is not None
    assert found.primary.cause == "host_between_steps"
    assert "eager_or_retracing" not in {finding.cause for finding in found.findings}


def test_operations_in_the_training_function_itself_are_its_own() -> None:
    made = Made()
    for step in range(4):
        start = 20.0 * step
        made.host(start, start + 20, "train", step=step)
        for place in range(38):
            made.host(start + place / 2, start + 0.4 + place / 2, READ)
    breakdown = breakdown_of(made.timeline())
    assert breakdown.hosts[0].eager_ms_per_step > 10
    found = diagnose(Case(breakdown))
    assert found.primary is not None
    assert found.primary.cause == "eager_or_retracing"
