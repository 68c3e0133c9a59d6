"""A cause whose cure saves nothing gives way to the host's work that sets the pace."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.causes import CauseId
from gpuprobe.diagnosis.pace_setter import with_pace_setter
from gpuprobe.diagnosis.records import Finding
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.whatif.records import Replay
from tests.helpers.replays import saves


def finding(cause: CauseId, severity: float, primary: bool) -> Finding:
    return Finding(cause=cause, primary=primary, severity=severity, confidence="high", claim="", evidence=(), fix="")


def lead(copies: float, callbacks: float, steps: int = 4) -> Finding:
    """The lead of a step with more copies than time between steps, by what curing each saves in the replay."""
    known = Evidence(signals=(Signal(name="step_ms", unit="ms", source="test", value=10.0, n=steps),))
    replay = Replay(predictions=(saves("callbacks_removed", callbacks), saves("copies_hidden", copies)))
    found = [finding("copy_bound", 0.4, True), finding("host_between_steps", 0.26, False)]
    judged = with_pace_setter(found, known, DEFAULTS, replay)
    assert [one.primary for one in judged] == [True, False]
    return judged[0]


def test_copies_beside_longer_work_of_the_host_cost_nothing() -> None:
    found = lead(copies=0.0, callbacks=0.33)
    assert (found.cause, found.confidence) == ("host_between_steps", "medium")
    assert "curing it saves 33 % of the step, and curing copy_bound saves 0 %" in found.claim


@pytest.mark.parametrize(("copies", "callbacks", "steps"), [(0.1, 0.33, 4), (0.0, 0.09, 4), (0.0, 0.33, 1)])
def test_copies_lead_where_curing_them_saves_time_or_nothing_shows_otherwise(
    copies: float, callbacks: float, steps: int
) -> None:
    found = lead(copies, callbacks, steps)
    assert (found.cause, found.confidence) == ("copy_bound", "high")
