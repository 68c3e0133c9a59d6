"""A trace without the work of the GPU that trained, as of a profiler without privileges, is no processor's training."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.missing_reasons import NO_CUPTI
from gpuprobe.records import Evidence, Signal
from tests.helpers.timelines import Made


def signals(**values: float | bool) -> tuple[Signal, ...]:
    return tuple(Signal(name=name, unit="", source="test", value=value) for name, value in values.items())


def judged(settings: tuple[Signal, ...] = (), *, gpu: bool = False, **readings: float) -> Diagnosis:
    """Judge four steps of 20 ms: 4 ms in the training function, in which an operation or a kernel runs, then Python."""
    made = Made()
    for step in range(4):
        start = 20.0 * step
        made.host(start, start + 4, "train", step=step).host(start + 0.1, start + 3.9, "one_step_on_data")
        made.host(start + 0.5, start + 3.5, "model/dense/MatMul:MatMul", thread="tf_Compute")
        if gpu:
            made.kernel(start + 1, start + 3.8, launch=start + 0.6)
    seen = Evidence(signals=signals(**readings)) if readings else None
    return diagnose(Case(breakdown_of(made.timeline()), settings=settings, readings=seen))


def test_the_host_of_an_unseen_gpu_is_not_judged_as_a_processor() -> None:
    found = judged(signals(device_is_gpu=True))
    assert found.primary is not None
    assert (found.primary.cause, found.primary.confidence) == ("unattributed", "low")
    assert NO_CUPTI in found.primary.claim
    assert not found.devices


@pytest.mark.parametrize(("device_is_gpu", "gpu"), [(False, False), (True, True)])
def test_a_device_that_the_trace_shows_is_judged(device_is_gpu: bool, gpu: bool) -> None:
    found = judged(signals(device_is_gpu=device_is_gpu), gpu=gpu)
    assert found.primary is not None
    assert found.primary.cause == "host_between_steps"


@pytest.mark.parametrize(
    ("settings", "readings", "sure"),
    [
        ((), {"utilization_percent": 30.0}, False),
        ((), {"utilization_percent": 9.0}, True),
        ((), {"utilization_percent": 30.0, "other_sm_percent": 29.0}, True),
        (signals(device_is_gpu=False), {"utilization_percent": 30.0}, True),
    ],
)
def test_beside_a_gpu_that_was_used_nothing_is_sure_of_a_processor(
    settings: tuple[Signal, ...], readings: dict[str, float], sure: bool
) -> None:
    found = judged(settings, gpu=False, **readings)
    assert found.primary is not None
    assert (found.primary.confidence != "low") is sure
    assert (NO_CUPTI in found.primary.claim) is not sure


@pytest.mark.parametrize(
    ("used", "p95", "confidence"),
    [(None, 7.0, "medium"), (None, 3.0, "high"), (False, 7.0, "high"), (True, 7.0, ""), (True, 0.0, "")],
)
def test_a_nearly_idle_gpu_is_unused_only_where_that_is_known(used: bool | None, p95: float, confidence: str) -> None:
    known = () if used is None else signals(device_is_gpu=used)
    found = judged(known, utilization_percent=2.0, utilization_p95_percent=p95)
    told = [one.confidence for one in found.findings if one.cause == "not_on_gpu"]
    assert told == ([confidence] if confidence else [])
