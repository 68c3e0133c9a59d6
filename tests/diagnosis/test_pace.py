"""A trace whose steps are not those of the timed window is not sure of the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gpuprobe.diagnosis.pace import paced
from gpuprobe.diagnosis.records import Finding
from gpuprobe.evidence.pace import pace
from gpuprobe.records import Evidence, Phase, Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000


def window(calls_ms: Sequence[float]) -> tuple[Signal, ...]:
    ends, now = [], 0
    for call in calls_ms:
        now += int(call * MS)
        ends.append(now)
    return pace(Phase(name="window", start_ns=0, end_ns=now, call_ends_ns=tuple(ends)))


def judged(traced_ms: float, calls_ms: Sequence[float]) -> Finding:
    first = Finding(
        cause="batch_too_small", primary=True, severity=0.8, confidence="high", claim="Small.", evidence=(), fix="Grow."
    )
    step = Signal(name="step_ms", unit="ms", source="trace", value=traced_ms)
    (found,) = paced((first,), Evidence(signals=(step, *window(calls_ms))))
    return found


def test_a_window_of_the_traces_pace_leaves_it_as_it_is() -> None:
    found = judged(10.0, [9.0, 10.0, 11.0, 12.0] * 10)
    assert (found.confidence, found.claim) == ("high", "Small.")


def test_retracings_outside_the_trace_take_all_sureness_from_it_and_are_told() -> None:
    calls = [9.0] * 100
    calls[5::6] = [500.0 + 35 * place for place in range(16)]
    found = judged(8.9, calls)
    assert found.confidence == "low"
    assert "the difference is not in the trace. 16 calls of 500 ms to" in found.claim
    assert {signal.name for signal in found.evidence} >= {"window_call_ms", "window_long_share"}


def test_a_window_that_is_slower_throughout_lowers_it_by_one() -> None:
    found = judged(10.0, [17.0, 18.0] * 20)
    assert found.confidence == "medium"
    assert "calls of" not in found.claim, "none of them is longer than the others"


def test_a_trace_that_slowed_its_steps_is_less_sure() -> None:
    found = judged(60.0, [10.0] * 40)
    assert found.confidence == "medium"
    assert "the profiler, or something else in the trace, made it slower" in found.claim


def test_a_window_too_noisy_to_tell_changes_nothing() -> None:
    calls = [10.0] * 40
    calls[17] = 700.0
    assert judged(10.0, calls).confidence == "high", "one long call alone may be anything"


@pytest.mark.parametrize("calls", [[], [10.0] * 7])
def test_of_few_calls_no_pace_is_known(calls: list[float]) -> None:
    assert window(calls) == ()
    assert pace(None) == ()
