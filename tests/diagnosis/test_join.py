"""How the trace, the differential runs and the telemetry become one diagnosis."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.diagnosis.agreement import AUTHORITY, Kind, Vote
from gpuprobe.diagnosis.join import join
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.records import Gain, Signal
from gpuprobe.thresholds import Thresholds
from gpuprobe.whatif.records import Replay
from tests.helpers.replays import saves

CAUSES = ("input_bound", "launch_bound", "copy_bound", "compute_bound", "sync_every_step", "unattributed")


def finding(cause: Any, *, primary: bool = False, severity: float = 0.5, **more: Any) -> Finding:
    signal = Signal(name=f"{cause}.share", unit="1", source="test", value=severity)
    words = {"confidence": "medium", "claim": f"It is {cause}.", "fix": "Fix it.", "evidence": (signal,), **more}
    return Finding(cause=cause, primary=primary, severity=severity, **words)


def replayed(change: str, saved: float) -> Replay:
    """A replay of a step in which that change saves that share of it."""
    return Replay(predictions=(saves(change, saved),))


def vote(kind: Kind, *findings: Finding, **more: Any) -> Vote:
    return Vote(kind=kind, findings=findings, **more)


def test_two_kinds_that_agree_are_sure() -> None:
    gain = Gain(ratio=2.1, low=2.0)
    found = join(
        [
            vote("differential runs", finding("launch_bound", primary=True, measured_gain=gain)),
            vote("trace", finding("launch_bound", primary=True, severity=0.61)),
        ]
    )
    assert found.primary is not None
    assert (found.primary.cause, found.primary.confidence) == ("launch_bound", "high")
    assert found.primary.severity == 0.61, "the trace knows best"
    assert found.primary.measured_gain == gain
    assert found.agreement == "The trace and the differential runs agree."
    assert not found.disputed


def test_two_kinds_that_differ_are_shown_and_lower_the_confidence() -> None:
    found = join(
        [
            vote("trace", finding("input_bound", primary=True, confidence="high")),
            vote("differential runs", finding("compute_bound", primary=True)),
        ]
    )
    assert found.primary is not None
    assert (found.primary.cause, found.primary.confidence, found.disputed) == ("input_bound", "medium", True)
    assert "The differential runs point to compute_bound" in found.agreement


def test_one_family_is_no_dispute_and_confirms_nothing() -> None:
    for leads, clock in (("low", "unattributed"), ("medium", "host_work"), ("high", "host_work")):
        found = join(
            [
                vote("trace", finding("host_work", primary=True, confidence=leads)),
                vote("clock", finding("host_between_steps", primary=True, confidence="high")),
            ]
        )
        assert found.primary is not None
        assert (found.primary.cause, found.primary.confidence, found.disputed) == (clock, leads, False)
        assert "agree" not in found.agreement
        assert ("The clock points to host_between_steps." in found.agreement) == (leads != "low")


@pytest.mark.parametrize(
    ("leads", "other", "cause", "confidence"),
    [
        ("low", "low", "unattributed", "low"),
        ("low", "high", "input_bound", "medium"),
        ("medium", "low", "input_bound", "medium"),
        ("medium", "medium", "input_bound", "high"),
        ("high", "low", "input_bound", "high"),
    ],
)
def test_a_second_kind_raises_the_confidence_by_a_step_and_a_hint_does_not(
    leads: str, other: str, cause: str, confidence: str
) -> None:
    found = join(
        [
            vote("trace", finding("input_bound", primary=True, confidence=leads)),
            vote("telemetry", finding("input_bound", primary=True, confidence=other)),
        ]
    )
    assert found.primary is not None
    assert (found.primary.cause, found.primary.confidence) == (cause, confidence)
    assert ("agree" in found.agreement) == (other != "low")


def test_a_cause_that_goes_with_the_primary_one_is_its_symptom() -> None:
    trace = vote("trace", finding("sync_every_step", primary=True), finding("launch_bound"), finding("copy_bound"))
    found = {finding.cause: finding.symptom_of for finding in join([trace]).findings}
    assert found == {"sync_every_step": None, "launch_bound": "sync_every_step", "copy_bound": None}


def test_a_slow_device_lies_behind_an_exchange_only_where_it_makes_up_most_of_it() -> None:
    exchange = vote("trace", finding("collective_bound", primary=True, severity=0.6, confidence="high"))
    for severity, first in ((0.4, "straggler"), (0.2, "collective_bound")):
        slow = finding("straggler", severity=severity, confidence="high")
        found = join([exchange], ((slow,), ()))
        assert found.primary is not None
        assert found.primary.cause == first


def test_a_hint_of_the_readings_at_what_the_trace_has_decided_is_left_out() -> None:
    readings = vote("telemetry", finding("input_bound", primary=True, confidence="low"), finding("throttled"))
    found = join([vote("trace", finding("launch_bound", primary=True, confidence="high")), readings])
    assert {finding.cause for finding in found.findings} == {"launch_bound", "throttled"}
    assert "may point to input_bound" in found.agreement


def test_what_makes_kernels_long_lies_behind_a_full_gpu() -> None:
    full = vote("trace", finding("compute_bound", primary=True, severity=0.95, confidence="high"))
    slow = finding("throttled", severity=0.4, confidence="high")
    found = join([full], ((slow,), ()))
    assert [(finding.cause, finding.symptom_of) for finding in found.findings] == [
        ("throttled", None),
        ("compute_bound", "throttled"),
    ]
    unsure = join([full], ((finding("throttled", severity=0.4),), ())).primary
    little = join([full], ((finding("throttled", severity=0.05, confidence="high"),), ())).primary
    strict = join([full], ((slow,), ()), Thresholds(root_share=0.5)).primary
    assert unsure is not None
    assert little is not None
    assert strict is not None
    assert {unsure.cause, little.cause, strict.cause} == {"compute_bound"}


@pytest.mark.parametrize(
    ("cause", "change", "shown"),
    [
        ("tensor_cores_unused", "fp16", "compute_bound"),
        ("batch_too_small", "batch_times_4", "compute_bound"),
        ("eager_or_retracing", "eager_removed", "launch_bound"),
    ],
)
def test_what_the_replay_saves_outweighs_a_share(cause: str, change: str, shown: str) -> None:
    least = Thresholds().root_share
    seen = vote("trace", finding(shown, primary=True, severity=0.95 if shown == "compute_bound" else 0.2))
    for severity, saved, first in ((0.4, least - 0.01, shown), (least - 0.02, least + 0.01, cause)):
        behind = finding(cause, severity=severity, confidence="high")
        found = join([seen], ((behind,), ()), replay=replayed(change, saved))
        assert found.primary is not None
        assert found.primary.cause == first
        assert cause in {named.cause for named in found.findings}, "it is told all the same"
        unknown = join([seen], ((behind,), ()), replay=Replay(refused="too long")).primary
        assert unknown is not None
        assert unknown.cause == (cause if severity >= least else shown)


@pytest.mark.parametrize(("share", "leads"), [(0.45, "launch_bound"), (None, "input_bound")])
def test_a_tied_cause_that_saves_more_leads_only_where_it_is_a_finding(share: float | None, leads: str) -> None:
    replay = Replay(predictions=(saves("input_free", 0.1), saves("launches_fused", 0.4)))
    tied = [finding("launch_bound", severity=share)] if share else []
    seen = vote("trace", finding("input_bound", primary=True, ties_with="launch_bound"), *tied)
    found = join([seen], replay=replay).primary
    assert found is not None
    assert found.cause == leads


def test_a_slow_link_is_not_weighed_by_copies_that_are_hidden() -> None:
    copies = vote("trace", finding("copy_bound", primary=True, severity=0.9))
    slow = finding("pcie_degraded", severity=0.8, confidence="high")
    found = join([copies], ((slow,), ()), replay=replayed("copies_hidden", 0.05)).primary
    assert found is not None
    assert found.cause == "pcie_degraded"


def test_a_cause_behind_another_is_less_sure_where_the_readings_point_elsewhere() -> None:
    copies = vote("trace", finding("copy_bound", primary=True, severity=0.9, confidence="high"))
    slow = finding("pcie_degraded", severity=0.8, confidence="high")
    for confidence, sure in (("low", "high"), ("medium", "medium")):
        readings = vote("telemetry", finding("compute_bound", primary=True, confidence=confidence))
        joined = join([copies, readings], ((slow,), ()))
        found = joined.primary
        assert found is not None
        assert ("points to compute_bound" in joined.agreement) == (confidence == "medium")
        assert (found.cause, found.confidence) == ("pcie_degraded", sure)


@pytest.mark.parametrize("shown", ["launch_bound", "recompiling", "host_between_steps"])
def test_a_few_single_operations_are_not_what_takes_the_step(shown: str) -> None:
    taken = vote("trace", finding(shown, primary=True, severity=0.6))
    for severity, first in ((0.31, "eager_or_retracing"), (0.29, shown)):
        few = finding("eager_or_retracing", severity=severity, confidence="high")
        found = join([taken], ((few,), ())).primary
        assert found is not None
        assert found.cause == first


def test_a_device_that_is_full_and_that_the_others_wait_for_is_a_straggler() -> None:
    full = vote("trace", finding("compute_bound", primary=True, confidence="high"))
    found = join([full], ((finding("straggler", severity=0.36, confidence="high"),), ())).primary
    assert found is not None
    assert found.cause == "straggler"


def test_a_hint_alone_is_no_cause() -> None:
    found = join([vote("telemetry", finding("input_bound", primary=True, confidence="low"))])
    assert found.primary is not None
    assert found.primary.cause == "unattributed"
    assert "may point to input_bound" in found.primary.claim


def test_nothing_known_is_said_to_be_unknown() -> None:
    found = join(
        [
            Vote(kind="trace", missing="none was captured"),
            vote("telemetry", finding("unattributed", primary=True), finding("gpu_memory_tight")),
        ]
    )
    assert [finding.cause for finding in found.findings] == ["unattributed", "gpu_memory_tight"]
    assert found.primary is not None
    assert found.agreement == "The trace: none was captured."
    assert join([]).primary is None


def test_what_one_kind_decided_is_not_undecided() -> None:
    reason = NotEvaluated(cause="launch_bound", reason="no GPU")
    found = join(
        [
            vote("trace", finding("launch_bound", primary=True)),
            vote("differential runs", not_evaluated=(reason, NotEvaluated(cause="copy_bound", reason="no trace"))),
        ]
    )
    assert [undecided.cause for undecided in found.not_evaluated] == ["copy_bound"]


@st.composite
def votes(draw: st.DrawFn) -> list[Vote]:
    cast = []
    for kind in draw(st.permutations(AUTHORITY)):
        causes = draw(st.lists(st.sampled_from(CAUSES), unique=True, max_size=4))
        cast.append(vote(kind, *(finding(cause, primary=not place) for place, cause in enumerate(causes))))
    return cast


@given(votes())
def test_there_is_at_most_one_primary_and_each_cause_is_named_once(cast: list[Vote]) -> None:
    found = join(cast)
    named = [finding.cause for finding in found.findings]
    assert len(named) == len(set(named))
    assert sum(finding.primary for finding in found.findings) == (1 if found.primary else 0)
    said = {finding.cause for vote in cast for finding in vote.findings}
    assert set(named) <= said | {"unattributed"}
    if any(vote.primary for vote in cast):
        assert found.primary is not None
        assert found.findings[0] == found.primary
