"""A reading of the result in each step leads, or ties, where the replay saves more without it than without the rest."""

from __future__ import annotations

import pytest

from gpuprobe.diagnosis.causes import CauseId
from gpuprobe.diagnosis.hidden import with_sync
from gpuprobe.diagnosis.records import Finding
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS
from gpuprobe.whatif.records import Replay
from tests.helpers.replays import saves

KIND = Signal(name="device_kind", unit="", source="test", value="gpu")
ON_GPU = Evidence(signals=(KIND, Signal(name="step_ms", unit="ms", source="test", value=10.0, n=1)))
SEVERAL = Evidence(signals=(KIND, Signal(name="step_ms", unit="ms", source="test", value=10.0, n=2)))


def judged(cause: CauseId, change: str, own: float, sync: float, known: Evidence = ON_GPU) -> Finding:
    replay = Replay(predictions=(saves("syncs_removed", sync), saves(change, own)))
    first = Finding(cause=cause, primary=True, severity=own, confidence="high", claim="", evidence=(), fix="")
    found = with_sync([first], known, DEFAULTS, replay)
    assert [one.primary for one in found].count(True) == 1
    assert sum(one.severity for one in found) <= 1
    return found[0]


@pytest.mark.parametrize(
    ("sync", "leads", "sure"), [(0.20, False, "high"), (0.26, False, "medium"), (0.33, True, "medium")]
)
def test_compiling_that_could_hide_behind_the_device_is_held_against_the_reading(
    sync: float, leads: bool, sure: str
) -> None:
    found = judged("recompiling", "compiling_removed", 0.25, sync)
    assert (found.cause == "sync_every_step", found.confidence) == (leads, sure)
    others = {"recompiling": "sync_every_step", "sync_every_step": "recompiling"}
    assert found.ties_with == (others[found.cause] if sure == "medium" else None)


@pytest.mark.parametrize(("sync", "leads"), [(0.34, False), (0.36, True)])
def test_time_between_steps_is_the_host_s_own_until_the_reading_costs_a_tenth_of_the_step_more(
    sync: float, leads: bool
) -> None:
    found = judged("host_between_steps", "callbacks_removed", 0.25, sync)
    assert (found.cause == "sync_every_step", found.confidence) == (leads, "medium")


@pytest.mark.parametrize("cause", ["recompiling", "host_between_steps"])
@pytest.mark.parametrize(("sync", "leads"), [(0.22, False), (0.26, True)])
def test_of_several_steps_the_reading_leads_where_it_saves_more(cause: CauseId, sync: float, leads: bool) -> None:
    change = {"recompiling": "compiling_removed", "host_between_steps": "callbacks_removed"}[cause]
    found = judged(cause, change, 0.25, sync, SEVERAL)
    assert (found.cause == "sync_every_step") == leads
    assert found.confidence == ("medium" if leads else "high")


def test_what_saves_as_much_as_the_reading_ties_with_it() -> None:
    found = judged("recompiling", "compiling_removed", 0.25, 0.24, SEVERAL)
    assert (found.cause, found.confidence, found.ties_with) == ("recompiling", "medium", "sync_every_step")


@pytest.mark.parametrize(
    ("compiling", "sync", "known", "leads"),
    [
        (0.05, 0.11, SEVERAL, True),
        (0.05, 0.09, SEVERAL, False),
        # The work is worth more than the reading that keeps it from hiding.
        (0.15, 0.14, SEVERAL, False),
        (0.15, 0.16, SEVERAL, True),
        # One step does not show that each reads a result.
        (0.05, 0.30, ON_GPU, False),
    ],
)
def test_a_full_device_gives_way_to_a_reading_worth_a_tenth(
    compiling: float, sync: float, known: Evidence, leads: bool
) -> None:
    found = judged("compute_bound", "compiling_removed", compiling, sync, known)
    assert (found.cause == "sync_every_step") == leads
    assert found.ties_with == ("compute_bound" if leads else None)


def test_a_wait_for_a_batch_is_its_own_whatever_the_steps() -> None:
    assert judged("input_bound", "input_free", 0.25, 0.34, SEVERAL).cause == "input_bound"
    assert judged("input_bound", "input_free", 0.25, 0.36, SEVERAL).cause == "sync_every_step"


def test_what_no_reading_hides_stays_as_it_is() -> None:
    assert judged("copy_bound", "copies_hidden", 0.25, 0.6).cause == "copy_bound"
    assert judged("recompiling", "compiling_removed", 0.25, 0.6, Evidence()).confidence == "high"
