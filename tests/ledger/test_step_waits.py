"""Who is waited for: always the same device or another from step to step, how often and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.step_waits import is_beyond_chance, is_the_same, often
from gpuprobe.report.several import across
from tests.ledger.test_exchanges import of_several
from tests.ledger.test_match_by_step import a_gpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import TraceBreakdown

FIRST = 7


def job(*late_ms: Sequence[float]) -> TraceBreakdown:
    """GPUs that come late to the exchange of each step of 100 ms by so much."""
    numbers = range(FIRST, FIRST + len(late_ms[0]))
    last = [max(of_step) for of_step in zip(*late_ms, strict=True)]
    return breakdown_of(of_several([a_gpu(numbers, late, last, 0.0) for late in late_ms]))


def straggler(breakdown: TraceBreakdown) -> Finding:
    return next(one for one in diagnose(Case(breakdown)).findings if one.cause == "straggler")


def test_one_that_is_always_waited_for_is_named_with_how_often_and_how_long() -> None:
    breakdown = job([0.0] * 5, [20.0, 25.0, 22.0, 0.0, 30.0], [0.0] * 5)
    assert [(wait.number, wait.device) for wait in breakdown.waits] == [(7, 1), (8, 1), (9, 1), (10, None), (11, 1)]
    assert [wait.kept_ms for wait in breakdown.waits] == pytest.approx([20, 25, 22, 0, 30])
    assert is_the_same(breakdown.waits) is True
    said = across(breakdown)
    assert "Always the same one is waited for: /device:GPU:0 of worker1 in 4 of 5 steps (20.0 ms to 30.0 ms)." in said
    assert "By step: 7: 20.0 ms, 8: 25.0 ms, 9: 22.0 ms, 10: nobody, 11: 30.0 ms." in said
    found = straggler(breakdown)
    assert found.confidence == "high"
    assert "in 4 of 5 steps by 20.0 ms to 30.0 ms" in found.claim


def test_one_that_changes_from_step_to_step_is_no_single_devices_fault() -> None:
    breakdown = job([30.0, 0.0, 30.0, 0.0, 30.0, 0.0], [0.0, 15.0, 0.0, 15.0, 0.0, 15.0])
    assert is_the_same(breakdown.waits) is False
    assert {device: len(of) for device, of in often(breakdown.waits).items()} == {0: 3, 1: 3}
    who = "/device:GPU:0 of worker0 in 3 of 6 steps (30.0 ms) and /device:GPU:0 of worker1 in 3 of 6 steps (15.0 ms)"
    assert f"Who is waited for changes: {who}." in across(breakdown)
    found = straggler(breakdown)
    assert found.confidence == "medium"
    assert f"the device that is waited for changes: {who}" in found.claim
    judged = main_device(breakdown)
    assert judged is not None
    assert judged.host == "worker0", "the one that costs most"


def test_what_may_be_chance_is_less_sure() -> None:
    # Waits of a healthy job on a busy machine, and of one with a late worker there.
    healthy, late = [0.0, 53.0, 0.0, 0.0, 7.0, 18.0], [54.0, 127.0, 57.0, 57.0, 127.0, 60.0]
    found = {name: straggler(job([0.0] * 6, by)) for name, by in (("healthy", healthy), ("late", late))}
    assert {name: one.confidence for name, one in found.items()} == {"healthy": "medium", "late": "high"}
    assert "may be chance" in found["healthy"].claim
    assert is_beyond_chance(job([0.0], [20.0]).waits, 1) is None


def test_in_the_first_traced_step_the_worker_whose_profiler_started_last_is_waited_for() -> None:
    # As measured: 0 is the one that is late.
    breakdown = job([0.0, 38.8, 47.3, 50.0, 48.2], [10.4, 0.0, 0.0, 0.0, 0.0])
    assert [wait.device for wait in breakdown.waits] == [1, 0, 0, 0, 0]
    assert (is_the_same(breakdown.waits), is_beyond_chance(breakdown.waits, 0)) == (True, True)
    assert straggler(breakdown).confidence == "high"
    # Of a later step that cannot be said.
    breakdown = job([38.8, 47.3, 0.0, 50.0, 48.2], [0.0, 0.0, 10.4, 0.0, 0.0])
    assert straggler(breakdown).confidence == "medium"


def test_the_first_traced_step_speaks_against_nobody() -> None:
    # The profiler of worker1 started 50 ms later; worker0 is late in every step after that.
    breakdown = job([0.0, 8.0, 8.0, 8.0, 8.0], [50.0, 0.0, 0.0, 0.0, 0.0])
    late, in_time = breakdown.peers
    assert late.kept_ms == pytest.approx(8)
    assert (late.last, late.exchanges) == (4, 4)
    assert (in_time.kept_ms, in_time.last) == (0, 0)
    judged = main_device(breakdown)
    assert judged is not None
    assert judged.host == "worker0"
    assert "for /device:GPU:0 of worker0, which comes last to 4 of 4 exchanges" in breakdown.slowest_why
    healthy = job([0.0] * 5, [30.0, 0.0, 0.0, 0.0, 0.0])
    assert not any(finding.cause == "straggler" for finding in diagnose(Case(healthy)).findings)


def test_of_one_step_alone_nobody_says_that_it_is_always_so() -> None:
    breakdown = job([0.0], [20.0])
    assert [wait.device for wait in breakdown.waits] == [1]
    assert is_the_same(breakdown.waits) is None
    assert not any("lways" in line for line in across(breakdown))
    assert "steps" not in straggler(breakdown).claim


def test_where_nobody_is_waited_for_no_step_names_anyone() -> None:
    breakdown = job([0.0, 1.0, 0.0], [0.5, 0.0, 0.5])
    assert [wait.device for wait in breakdown.waits] == [None] * 3
    assert is_the_same(breakdown.waits) is None
    assert not any(finding.cause == "straggler" for finding in diagnose(Case(breakdown)).findings)
