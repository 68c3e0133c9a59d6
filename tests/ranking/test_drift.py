"""A gain that the trace of what was changed rules out is drift of the machine, and no evidence."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from gpuprobe.ranking.drift import at_most, marked_for_drift
from gpuprobe.ranking.ranking import Row
from gpuprobe.ranking.rates import Interval
from gpuprobe.records import Part, StrategyInfo
from gpuprobe.simulate import recordings
from tests.helpers.program import ROOT


def interval(value: float) -> Interval:
    return Interval(value=value, low=0.75 * value, high=1.35 * value, n=8)


def info(name: str, against: str | None, part: Part) -> StrategyInfo:
    return StrategyInfo(name=name, sentence="One.", against=against, part=part)


INFOS = {
    one.name: one
    for one in (
        info("loop", None, "loop"),
        info("pipeline", "loop", "feed"),
        info("resident", "pipeline", "feed"),
        info("xla", "pipeline", "compute"),
    )
}


def row(strategy: str, against: str | None, gain: float, speedup: float) -> Row:
    return Row(
        rank=1,
        strategy=strategy,
        sentence="One.",
        change="one thing",
        against=against,
        samples_per_s=interval(100.0),
        epoch_s=interval(10.0),
        settings=recordings.settings(device="/device:CPU:0", batch_size=32),
        gain=interval(gain),
        speedup=interval(speedup),
        beyond="faster",
        beyond_baseline="faster",
    )


def traced(computing: float, kind: str = "cpu") -> SimpleNamespace:
    device = SimpleNamespace(
        kind=kind, name="CPU", step_ms=10.0, ledger_ms={f"{kind}_compute": 10.0 * computing}, busy_ms=1.0
    )
    return SimpleNamespace(breakdown=SimpleNamespace(devices=(device,)), replay=None)


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuprobe.ranking.drift.main_device", lambda breakdown: breakdown.devices[0])


def test_a_feed_gains_no_more_than_all_that_is_not_computing() -> None:
    assert at_most(traced(0.94), [INFOS["resident"]]) == pytest.approx(1.03 / 0.94)  # type: ignore[arg-type]
    assert at_most(traced(0.94), [INFOS["xla"]]) is None  # type: ignore[arg-type]
    assert at_most(traced(0.0), [INFOS["resident"]]) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("computing", "gain", "speedup", "is_drift"),
    [(0.94, 1.02, 1.48, True), (0.94, 1.30, 1.05, True), (0.94, 1.02, 1.05, False), (0.5, 1.3, 1.48, False)],
)
def test_what_the_traces_rule_out_is_drift(computing: float, gain: float, speedup: float, is_drift: bool) -> None:
    traces = {"loop": traced(computing), "pipeline": traced(computing)}
    found = marked_for_drift(row("resident", "pipeline", gain, speedup), INFOS, traces, "loop", in_turns=False)  # type: ignore[arg-type]
    assert bool(found.drift) is is_drift
    assert found.is_faster is not is_drift
    assert found.gained is not is_drift
    assert any(mark.kind == "drift" and "allows at most" in mark.words for mark in found.marks) is is_drift


def test_what_took_turns_had_the_same_machine() -> None:
    traces = {"loop": traced(0.94), "pipeline": traced(0.94)}
    measured = row("resident", "pipeline", 1.02, 1.48)
    assert marked_for_drift(measured, INFOS, traces, "loop", in_turns=True) is measured  # type: ignore[arg-type]


def test_what_computes_otherwise_is_not_ruled_out() -> None:
    traces = {"loop": traced(0.94), "pipeline": traced(0.94)}
    measured = row("xla", "pipeline", 2.0, 2.0)
    assert not marked_for_drift(measured, INFOS, traces, "loop", in_turns=False).drift  # type: ignore[arg-type]


def test_a_combination_is_judged_by_all_that_it_combines() -> None:
    traces = {"loop": traced(0.94)}
    feeds = msgspec.structs.replace(row("tuned", "loop", 1.5, 1.5), combines=("pipeline", "resident"))
    assert marked_for_drift(feeds, INFOS, traces, "loop", in_turns=False).drift  # type: ignore[arg-type]
    compiled = msgspec.structs.replace(feeds, combines=("pipeline", "xla"))
    assert not marked_for_drift(compiled, INFOS, traces, "loop", in_turns=False).drift  # type: ignore[arg-type]


def test_the_example_of_this_repository_claims_no_drift() -> None:
    from gpuprobe.ranking.load import load

    example = ROOT / "reports" / "example"
    for found in load(example).ranking.rows:
        assert not (found.drift and found.gained)
