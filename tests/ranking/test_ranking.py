"""Intervals, ties, gains and the same work, against studies whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import InputError
from gpuprobe.ranking import spread, ties
from gpuprobe.ranking.load import load
from gpuprobe.ranking.rank import rank
from gpuprobe.ranking.ranking import SharedResults
from gpuprobe.ranking.rates import Interval, window_rate
from gpuprobe.ranking.same_work import outside_loss_band
from gpuprobe.records import Gain, LossPoint, Phase, StrategyInfo, to_json
from gpuprobe.records import load as load_record
from gpuprobe.simulate import recordings
from tests.helpers.laps import timed
from tests.helpers.studies import STORY, SimulatedStrategy, simulate_study

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking


def ranking(folder: Path, *strategies: SimulatedStrategy, **options: object) -> Ranking:
    simulate_study(folder, strategies, **options)  # type: ignore[arg-type]
    return load(folder).ranking


def test_the_story_is_ranked_by_its_truth(tmp_path: Path) -> None:
    found = ranking(tmp_path, *STORY)
    assert [row.strategy for row in found.rows] == [s.name for s in sorted(STORY, key=lambda s: s.step_ms)]
    for truth in STORY:
        row = found.row(truth.name)
        assert row is not None
        assert row.samples_per_s.low <= 32_000 / truth.step_ms <= row.samples_per_s.high
        assert row.epoch_s is not None
        assert row.epoch_s.value == pytest.approx(50_000 / row.samples_per_s.value)
    xla = found.row("xla")
    assert xla is not None
    assert xla.gain is not None
    assert xla.gain.low <= 60 / 40 <= xla.gain.high
    assert xla.gain.value == pytest.approx(1.5, rel=0.03)


def test_input_share_is_the_time_that_goes_with_the_data_on_the_device(tmp_path: Path) -> None:
    row = ranking(tmp_path, *STORY).row("python_feed")
    assert row is not None
    assert row.input_share is not None
    assert row.input_share.value == pytest.approx(0.5, abs=0.02)
    assert row.input_share.low <= 0.5 <= row.input_share.high


def test_equal_strategies_tie(tmp_path: Path) -> None:
    same = [SimulatedStrategy(name=name, step_ms=50.0, spread=0.1) for name in "abcd"]
    assert {row.rank for row in ranking(tmp_path, *same).rows} == {1}


def test_drift_of_the_machine_widens_rates_but_not_ratios(tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "drifting").mkdir()
    calm = ranking(tmp_path / "calm", *STORY).row("xla")
    drifting = ranking(tmp_path / "drifting", *STORY, drift=(1.0, 1.3)).row("xla")
    assert calm is not None
    assert drifting is not None
    assert drifting.gain is not None
    width = drifting.samples_per_s.high / drifting.samples_per_s.low
    assert width > 1.3 > calm.samples_per_s.high / calm.samples_per_s.low
    assert drifting.gain.high / drifting.gain.low < 1.15
    assert drifting.gain.low <= 1.5 <= drifting.gain.high


def test_a_lucky_control_is_not_believed_and_a_drifting_one_is_not_despaired_of() -> None:
    half = {deviation: spread.between_half_width(spread.Spread(deviation**2, 1), 1) for deviation in (0.0, 0.05, 0.2)}
    assert 0 < half[0.0] < half[0.05] < half[0.2]
    assert half[0.05] == pytest.approx(2.776 * 0.05, rel=1e-3), "as expected: Student's t at four degrees of freedom"
    assert half[0.2] < 12.7 * 0.2, "the control alone would make a tie of everything"
    many = spread.between_half_width(spread.Spread(0.2**2, 100), 1)
    assert many == pytest.approx(1.98 * 0.2, rel=0.02), "many runs outweigh what was expected"


def test_an_unstable_figure_says_so(tmp_path: Path) -> None:
    wild = SimulatedStrategy(name="wild", step_ms=400.0, spread=0.6)
    row = ranking(tmp_path, wild).rows[0]
    assert row.marked("unstable")


def test_other_work_is_marked(tmp_path: Path) -> None:
    off = SimulatedStrategy(name="off", step_ms=30.0, loss_offset=1.0)
    found = ranking(tmp_path, *STORY, off)
    marked = {row.strategy for row in found.rows if row.marked("loss")}
    assert marked == {"off"}


def test_a_loss_that_is_not_finite_is_marked() -> None:
    fine = [LossPoint(samples=32 * n, loss=2.0) for n in range(1, 9)]
    broken = [*fine, LossPoint(samples=999, loss=None)]
    assert outside_loss_band({"a": fine, "b": broken}) == {"b": "its loss is not a finite number"}


def test_failures_and_what_was_not_run_are_told_apart(tmp_path: Path) -> None:
    failed = SimulatedStrategy(name="failed", step_ms=10.0, state="out_of_memory")
    found = ranking(tmp_path, STORY[0], failed, rounds=1)
    assert [(failure.strategy, failure.state) for failure in found.failures] == [("failed", "out_of_memory")]
    assert [row.strategy for row in found.rows] == ["python_feed"]


def test_nothing_measured_is_no_crash_and_no_claim(tmp_path: Path) -> None:
    found = ranking(tmp_path, SimulatedStrategy(name="a", step_ms=10.0, state="killed"), rounds=1)
    assert found.rows == ()
    assert found.findings == ()


@pytest.mark.parametrize(
    ("rounds", "ran", "how_often"),
    [
        (2, {"base": 2, "a": 2, "b": 2, "tuned": 1}, ""),
        (2, {"base": 2, "a": 2, "b": 1, "tuned": 1}, "1 of 3 strategies ran once: "),
        (2, {"base": 2, "a": 1, "b": 1}, "The first strategy ran twice or more, the others once: "),
        (1, {"base": 2, "a": 1, "b": 1, "tuned": 1}, "The first strategy ran twice or more, the others once: "),
        (1, {"base": 1, "a": 1, "b": 1, "tuned": 1}, "Each strategy ran once: "),
    ],
)
def test_what_ran_once_is_told_as_it_was(rounds: int, ran: dict[str, int], how_often: str) -> None:
    infos = [
        StrategyInfo(name=name, sentence="One.", against=None if name == "base" else "base", combines=name == "tuned")
        for name in ran
    ]
    made = recordings.study_record(
        "s", recordings.environment([]), infos, rounds=rounds, batch_size=32, command="gpuprobe run"
    )
    laps = dict.fromkeys(range(1, 9), 100.0)
    runs = [timed(name, number, laps) for name, times in ran.items() for number in range(1, times + 1)]
    notes = [note for note in rank(made, runs, {}).notes if " ran " in note]
    assert [note[: len(how_often)] for note in notes] == ([how_often] if how_often else [])
    assert all(("--rounds 2" in note) is (rounds == 1) for note in notes)


INTERVALS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.tuples(st.floats(1, 1e4), st.floats(0, 0.5)).map(
        lambda pair: Interval(value=pair[0], low=pair[0] * (1 - pair[1]), high=pair[0] * (1 + pair[1]), n=8)
    ),
    max_size=9,
)


def overlap(one: Interval, other: Interval) -> bool:
    return one.low <= other.high and other.low <= one.high


def ranked_by(intervals: dict[str, Interval]) -> dict[str, int]:
    values = {name: interval.value for name, interval in intervals.items()}
    return ties.ranks(values, lambda name, other: not overlap(intervals[name], intervals[other]))


@given(INTERVALS)
def test_nobody_shares_a_rank_with_one_that_is_faster_beyond_the_noise(intervals: dict[str, Interval]) -> None:
    ranked = ranked_by(intervals)
    assert ranked.keys() == intervals.keys()
    for first, one in intervals.items():
        for second, other in intervals.items():
            if ranked[first] == ranked[second]:
                assert overlap(one, other)
            if ranked[first] < ranked[second]:
                assert one.value >= other.value
    for place in set(ranked.values()):
        assert place == 1 + sum(other < place for other in ranked.values())


@given(INTERVALS)
def test_a_rank_ends_only_where_one_is_slower_beyond_the_noise(intervals: dict[str, Interval]) -> None:
    ranked = ranked_by(intervals)
    for place in set(ranked.values()) - {1}:
        first = max((name for name in ranked if ranked[name] == place), key=lambda name: intervals[name].value)
        above = max(other for other in ranked.values() if other < place)
        assert any(not overlap(intervals[first], intervals[name]) for name in ranked if ranked[name] == above)


def test_a_chain_of_ties_is_no_tie() -> None:
    chain = {name: Interval(value=v, low=v - 6, high=v + 6, n=8) for name, v in (("a", 100), ("b", 91), ("c", 82))}
    assert ranked_by(chain) == {"a": 1, "b": 1, "c": 3}, "b overlaps with both, and c is slower than a for sure"


@given(st.lists(st.floats(0.001, 10), max_size=40), st.integers(1, 8), st.integers(1, 512))
def test_a_windows_rate_never_crashes_and_holds_its_mean(lengths: list[float], per_call: int, batch: int) -> None:
    ends, now = [], 1_000
    for seconds in lengths:
        now += round(seconds * 1e9)
        ends.append(now)
    rate = window_rate(
        Phase(name="window", start_ns=1_000, end_ns=now, call_ends_ns=tuple(ends), steps_per_call=per_call), batch
    )
    if len(lengths) < 2:
        assert rate is None
    else:
        assert rate is not None
        assert min(rate.block_rates) * 0.999 <= 2.718281828459045**rate.log_rate <= max(rate.block_rates) * 1.001


def test_what_the_traces_said_is_read_from_a_report_of_before_marks_had_kinds(tmp_path: Path) -> None:
    found = json.loads(to_json(ranking(tmp_path, SimulatedStrategy(name="a", step_ms=10.0))))
    found["schema"] = 1
    found["rows"][0]["marks"] = ["loss 2.1 after 512 samples, above the others' 1.0"]
    for finding in found["findings"]:
        finding["predicted_gain"] = {"ratio": 2.0}
    (tmp_path / "report.json").write_text(json.dumps(found))
    old = load_record(SharedResults, tmp_path / "report.json")
    assert [row.strategy for row in old.rows] == ["a"]
    assert old.findings[0].predicted_gain == Gain(ratio=2.0)
    (tmp_path / "report.json").write_text(json.dumps({**found, "schema": 3}))
    with pytest.raises(InputError, match="newer gpuprobe"):
        load_record(SharedResults, tmp_path / "report.json")
