"""Threads that spin where cores are short: just above and below what decides, and a twin whose threads sleep."""

from __future__ import annotations

from typing import Any

import pytest

from gpuprobe import thresholds
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.diagnosis.rules.spinning_threads import spinning_threads
from gpuprobe.evidence.run import core_signals
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import CoreUse, Evidence
from gpuprobe.simulate import recordings
from tests.helpers.timelines import Made

T = thresholds.DEFAULTS
# As measured: two threads of PyTorch beside other programs, with the usual spinning and with GOMP_SPINCOUNT=1000.
SPUN = {"cpu_s": 4.5, "waited_s": 4.3, "sleeps": 30, "others_cpu_s": 3.3}
SLEPT = {"cpu_s": 5.4, "waited_s": 4.2, "sleeps": 7_250, "others_cpu_s": 2.1}


def signals(spin: bool | None, **use: Any) -> Evidence:
    settings = recordings.settings(device="/device:CPU:0", batch_size=32, threads_spin=spin)
    return Evidence(signals=core_signals(settings, CoreUse(seconds=10.0, **use) if use else None))


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, True),
        ({"waited_s": 10 * T.core_waited}, True),
        ({"waited_s": 10 * T.core_waited - 0.1}, False),
        ({"sleeps": int(10 * T.spinner_sleeps_per_s)}, True),
        ({"sleeps": int(10 * T.spinner_sleeps_per_s) + 1}, False),
        ({"others_cpu_s": 10 * T.wanted_cores}, True),
        ({"others_cpu_s": 10 * T.wanted_cores - 0.1}, False),
    ],
)
def test_it_takes_waits_for_a_core_no_sleep_and_other_threads_at_work(changed: dict[str, Any], found: bool) -> None:
    assert isinstance(spinning_threads(signals(True, **{**SPUN, **changed}), T), Finding) is found


def test_only_threads_that_spin_are_asked() -> None:
    assert spinning_threads(signals(False, **SPUN), T) is None
    assert isinstance(spinning_threads(signals(True), T), NotEvaluated)
    unknown = spinning_threads(signals(None, **SPUN), T)
    assert isinstance(unknown, NotEvaluated)
    assert "PyTorch" in unknown.reason


def verdict(spin: bool, use: dict[str, Any]) -> Finding:
    made = Made()
    for step in range(5):
        at = 100.0 * step
        made.host(at, at + 100, "train", step=step).host(at, at + 99.9, "train_function")
        made.host(at, at + 99.5, "dense/MatMul:MatMul")
    found = diagnose(Case(breakdown_of(made.timeline()), settings=signals(spin, **use).signals)).primary
    assert found is not None
    return found


def test_it_leads_and_its_twin_is_not_sure_that_computing_is_the_limit() -> None:
    flawed, fixed = verdict(True, SPUN), verdict(False, SLEPT)
    assert (flawed.cause, flawed.confidence) == ("spinning_threads", "high")
    assert "ready without a core for 43 % of the time, and gave its own up 3 times a second" in flawed.claim
    assert "GOMP_SPINCOUNT" in flawed.code
    assert (fixed.cause, fixed.confidence) == ("compute_bound", "medium")
    assert "ready without a core for 42 % of the time" in fixed.claim
    alone = verdict(False, {**SLEPT, "waited_s": 0.1})
    assert (alone.cause, alone.confidence) == ("compute_bound", "high")
