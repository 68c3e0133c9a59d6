"""Exchanges of several traces by the numbers of their steps: what is the same, and what is never compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.ledger.device_breakdown import PreparedTrace
from gpuprobe.ledger.exchanges import match
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS
from tests.helpers.timelines import Made
from tests.ledger.test_exchanges import ALL_REDUCE, of_several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.traces.timeline import Timeline

STEP_MS = 100.0


def a_gpu(numbers: Sequence[int], late_ms: Sequence[float], last_ms: Sequence[float], clock_ms: float) -> Timeline:
    """A GPU that comes late to the exchange of each numbered step by so much, where the last one comes by `last_ms`."""
    made = Made()
    for number, late, last in zip(numbers, late_ms, last_ms, strict=True):
        begin = clock_ms + STEP_MS * number
        made.host(begin, begin + STEP_MS - 1, "train", step=number)
        made.kernel(begin + late + 2, begin + late + 5, launch=begin + late + 0.1)
        made.kernel(begin + 10 + late, begin + 12 + last, launch=begin + late + 0.2, name=ALL_REDUCE)
    return made.timeline()


def a_processor(numbers: Sequence[int], late_ms: float, left_ms: Sequence[float], *, numbered: bool = True) -> Timeline:
    """A processor whose exchange of each step ends 80 ms after the step began, and which leaves it by so much later."""
    made = Made()
    for number, left in zip(numbers, left_ms, strict=True):
        begin = STEP_MS * number
        made.host(begin, begin + 99, "train_function", step=number if numbered else UNKNOWN)
        made.host(begin + late_ms + 1, begin + late_ms + 5, "dense/MatMul:MatMul", "tf_Compute/1")
        made.host(begin + late_ms + 5, begin + 80 + left, "CollectiveReduceV2:CollectiveReduceV2", "collective_ops/2")
    return made.timeline()


def matched(timeline: Timeline) -> tuple[Exchanges | None, str]:
    return match(timeline, PreparedTrace(timeline).hosts)


def test_numbers_tell_which_step_is_which_where_clocks_do_not() -> None:
    # Steps are alike, both traces hold four of them, and the second begins a step later.
    late = {1: 30.0, 2: 5.0, 3: 40.0}
    first = a_gpu([0, 1, 2, 3], [0.0] * 4, [late.get(number, 0.0) for number in range(4)], 0.0)
    other = a_gpu([1, 2, 3, 4], [30.0, 5.0, 40.0, 0.0], [30.0, 5.0, 40.0, 0.0], 7000.0)
    exchanged, reason = matched(of_several([first, other]))
    assert exchanged is not None, reason
    assert exchanged.step.tolist() == [1, 2, 3]
    assert exchanged.numbered
    assert exchanged.waited_ps[0] / PS_PER_MS == pytest.approx([30, 5, 40])
    assert exchanged.waited_ps[1].sum() == 0


def test_traces_of_different_steps_are_not_compared_and_that_is_said() -> None:
    early, late = ([0.0] * 4, [0.0, 20.0, 5.0, 10.0])
    parts = [a_gpu([0, 1, 2, 3], early, late, 0.0), a_gpu([50, 51, 52, 53], late, late, 0.0)]
    breakdown = breakdown_of(of_several(parts))
    assert not breakdown.peers
    assert breakdown.slowest is None
    assert breakdown.untold == (
        "the trace of worker1 holds steps 50 to 53, that of worker0 steps 0 to 3: different steps are not compared"
    )
    assert all(device.ledger_ms["idle_peer"] == 0 for device in breakdown.devices)
    straggler = [one for one in diagnose(Case(breakdown)).findings if one.cause == "straggler"]
    assert straggler == []
    # One of six, whose trace was taken at another time, keeps nobody from comparing the others.
    others = [parts[0]] * 2 + [a_gpu([0, 1, 2, 3], late, late, 0.0)] * 3
    most = breakdown_of(of_several([*others, parts[1]]))
    assert len(most.peers) == 5
    assert "worker5 holds steps 50 to 53" in most.unmatched
    assert most.untold == ""
    # Of three, two are fewer than four fifths.
    assert "2 of the job's 3 ranks" in breakdown_of(of_several([*others[1:3], parts[1]])).untold


def test_counters_that_began_apart_are_matched_by_order_where_clocks_show_one_time() -> None:
    late = [0.0, 20.0, 5.0, 10.0]
    first = a_gpu([0, 1, 2, 3], [0.0] * 4, late, 0.0)
    other = a_gpu([50, 51, 52, 53], late, late, -50 * STEP_MS)
    exchanged, reason = matched(replace(of_several([first, other]), unix=True))
    assert exchanged is not None, reason
    assert exchanged.waited_ps[0] / PS_PER_MS == pytest.approx(late)


def test_a_processor_that_is_busy_leaves_late_and_its_exchanges_are_matched_by_number() -> None:
    random = np.random.default_rng(16)
    left = [random.uniform(0, 15, 12).tolist() for _ in range(2)]

    def both(*, numbered: bool) -> Timeline:
        late = a_processor(range(12), 73.0, left[1], numbered=numbered)
        return replace(of_several([a_processor(range(12), 55.0, left[0], numbered=numbered), late]), unix=True)

    breakdown = breakdown_of(both(numbered=True))
    assert (breakdown.unmatched, breakdown.untold) == ("", "")
    waits, late = breakdown.devices
    # A thread that leaves late was in the exchange for as long, whoever came last.
    assert waits.ledger_ms["idle_peer"] == pytest.approx(18, abs=9)
    assert late.ledger_ms["idle_peer"] < 5
    assert "do not end together" in breakdown_of(both(numbered=False)).unmatched


def test_more_exchanges_of_a_step_on_one_gpu_are_of_another_communicator() -> None:
    made = a_gpu([0, 1, 2], [0.0] * 3, [0.0] * 3, 0.0)
    twice = Made()
    for number in range(3):
        begin = STEP_MS * number
        twice.host(begin, begin + 99, "train", step=number)
        for place in (0.0, 30.0):
            twice.kernel(begin + 10 + place, begin + 12 + place, launch=begin + place + 0.1, name=ALL_REDUCE)
    exchanged, _ = matched(of_several([made, twice.timeline()]))
    assert exchanged is None or not exchanged.numbered
