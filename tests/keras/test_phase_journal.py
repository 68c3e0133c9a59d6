"""Calls that return before their step is computed: a phase ends with its steps."""

from __future__ import annotations

import pytest

from gpuprobe.keras.phase_journal import PhaseJournal
from gpuprobe.units import NS_PER_MS


def window_of(calls: int, step_ms: int, *, waits: bool) -> PhaseJournal:
    """Calls that are handed over in a millisecond, of which half is spent outside; then as many traced ones that wait.

    A step takes `step_ms`, and the queue holds all of them.
    """
    journal = PhaseJournal()
    journal.enter("window", 0)
    for call in range(calls):
        journal.call(call * NS_PER_MS, call * NS_PER_MS + NS_PER_MS // 2)
    computed_ns = calls * step_ms * NS_PER_MS
    if waits:
        journal.last_call_ended(computed_ns)
    journal.enter("trace", computed_ns)
    for call in range(calls):
        journal.call(computed_ns + call * step_ms * NS_PER_MS, computed_ns + (call + 1) * step_ms * NS_PER_MS)
    return journal


def test_a_window_that_waits_for_its_steps_times_them() -> None:
    journal = window_of(9, 40, waits=True)
    assert journal.slowdown(by_mean=True) == pytest.approx(1.0)
    outside = journal.outside_fraction()
    assert outside == pytest.approx(4 / 360)


def test_one_that_does_not_wait_times_how_fast_they_are_handed_over() -> None:
    journal = window_of(9, 40, waits=False)
    slowdown = journal.slowdown(by_mean=True)
    assert slowdown is not None
    assert slowdown > 30
    assert journal.outside_fraction() == pytest.approx(4 / 8.5)


def test_what_has_no_calls_yet_stays() -> None:
    journal = PhaseJournal()
    journal.enter("settle", 0)
    journal.last_call_ended(7)
    assert journal.outside_fraction() is None
    assert journal.slowdown() is None
