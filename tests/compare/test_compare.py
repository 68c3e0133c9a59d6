"""`gpuprobe compare` against studies and sessions whose truth is known."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.compare.compare import compare
from gpuprobe.compare.differences import given_words, settings
from gpuprobe.compare.gather import gather
from gpuprobe.compare.records import CategoryChange, Cause, Comparison, Ledger, Measured, Side, StrategyChange
from gpuprobe.compare.watched import run_ms, step_counts_as_text
from gpuprobe.errors import InputError, UsageError
from gpuprobe.evidence.whole_run import breakdown_of_wall
from gpuprobe.ranking import spread
from gpuprobe.ranking.rates import RunRate
from gpuprobe.recording import RUN_FILE, STUDY_FILE
from gpuprobe.records import Confidence, Given, GpuInfo, Run, Study, Wall, WallPart, load, save
from gpuprobe.report.compare import comparison_text
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Card, Collective, Host, Input, Kernels, Spec
from tests.helpers.program import Cli
from tests.helpers.studies import STORY, SimulatedStrategy, simulate_study
from tests.helpers.watches import record

ROUNDS = 3
SESSION = Spec(name="session", kernels=Kernels(count=40, mean_us=150.0), host=Host(callback_ms=0.1))
SLOW_INPUT = msgspec.structs.replace(SESSION, seed=5, input=Input(map_ms=40.0, prefetch=0))


def study(folder: Path, *, factor: float = 1.0, seed: int = 0, **changes: object) -> Path:
    """Write the story's study; `numpy` alone takes `factor` times as long, and has other fields changed."""
    members = [
        dataclasses.replace(member, step_ms=member.step_ms * factor, **changes) if member.name == "numpy" else member  # type: ignore[arg-type]
        for member in STORY
    ]
    folder.mkdir()
    simulate_study(folder, members, rounds=ROUNDS, seed=seed)
    return folder


def session(folder: Path, spec: Spec) -> Path:
    folder.mkdir()
    write_session(spec, folder)
    return folder


def of(found: Comparison, strategy: str) -> StrategyChange:
    return next(change for change in found.strategies if change.strategy == strategy)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(tmp_path_factory.mktemp("studies") / "before")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sessions")
    return session(folder / "plain", SESSION), session(folder / "slow", SLOW_INPUT)


def test_the_same_again_is_a_tie_and_passes(before: Path, tmp_path: Path) -> None:
    found = compare(gather(before), gather(study(tmp_path / "again", seed=1)), fail_below=0.95)
    assert {change.outcome for change in found.strategies} == {"tie"}
    assert [change.strategy for change in found.strategies] == [member.name for member in STORY]
    assert not found.failed
    assert not found.forced
    assert not found.environment
    assert "tie: the interval contains 1" in comparison_text(found)


@pytest.mark.parametrize(("factor", "outcome"), [(1.25, "slower"), (0.8, "faster")])
def test_a_change_beyond_the_noise_is_said_with_its_direction(
    before: Path, tmp_path: Path, factor: float, outcome: str
) -> None:
    found = compare(gather(before), gather(study(tmp_path / "after", factor=factor, seed=1)))
    changed = of(found, "numpy")
    assert changed.outcome == outcome
    assert changed.ratio is not None
    assert changed.ratio.low <= 1 / factor <= changed.ratio.high
    assert {change.outcome for change in found.strategies if change is not changed} == {"tie"}
    assert f"Verdict: B is {outcome} in numpy; tie in python_feed" in comparison_text(found)
    assert f"{outcome}, beyond the noise" in comparison_text(found)


def test_it_fails_just_where_the_whole_interval_is_below_the_floor(before: Path, tmp_path: Path) -> None:
    a, b = gather(before), gather(study(tmp_path / "after", factor=1.2, seed=1))
    ratio = of(compare(a, b), "numpy").ratio
    assert ratio is not None
    above, under = math.nextafter(ratio.high, 9), ratio.high
    assert compare(a, b, fail_below=above).failed
    assert not compare(a, b, fail_below=under).failed
    unsure = comparison_text(compare(a, b, fail_below=ratio.value))
    assert "Passed" in unsure
    assert "The noise is too large to tell for numpy." in unsure


def test_the_exit_codes_are_those_of_the_help(cli: Cli, before: Path, tmp_path: Path) -> None:
    slower = study(tmp_path / "slower", factor=1.3, seed=1)
    assert cli("compare", before, slower, "--fail-below", "0.6").returncode == 0
    failed = cli("compare", before, slower, "--fail-below", "0.95")
    assert failed.returncode == 1
    assert "FAILED: B/A is below 0.95 beyond the noise in numpy." in failed.stdout
    unread = cli("compare", before, tmp_path / "nowhere")
    assert unread.returncode == 3
    assert unread.stderr.count("\n") == 1
    assert cli("compare", before, slower, "--fail-below", "-1").returncode == 2
    shown = cli("compare", "--help").stdout
    assert re.findall(r"^  (\d+)  \w", shown.partition("Exit codes:")[2], re.MULTILINE) == list("0123")


def test_json_holds_the_whole_comparison_and_keeps_the_exit_code(cli: Cli, before: Path, tmp_path: Path) -> None:
    slower = study(tmp_path / "slower", factor=1.3, seed=1)
    done = cli("compare", before, slower, "--json", "--fail-below", "0.95")
    assert done.returncode == 1
    found = msgspec.json.decode(done.stdout, type=Comparison)
    assert found == compare(gather(before), gather(slower), fail_below=0.95)
    assert [change["strategy"] for change in json.loads(done.stdout)["strategies"] if change["below"]] == ["numpy"]


def change_study(folder: Path, **changes: object) -> Path:
    record_of = load(Study, folder / STUDY_FILE)
    save(msgspec.structs.replace(record_of, **changes), folder / STUDY_FILE)
    return folder


def other_card(folder: Path) -> Path:
    machine = load(Study, folder / STUDY_FILE).environment
    card = GpuInfo(index=0, name="NVIDIA GeForce GTX 1080 Ti", compute_capability="6.1", memory_mib=11264.0)
    return change_study(folder, environment=msgspec.structs.replace(machine, gpus=(card,)))


def other_model(folder: Path) -> Path:
    for path in folder.glob(f"runs/*/{RUN_FILE}"):
        run = load(Run, path)
        save(msgspec.structs.replace(run, spec=msgspec.structs.replace(run.spec, depth=56)), path)
    return folder


REFUSED: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "card": (other_card, {}, "different hardware (GPU: NVIDIA GeForce GTX 1060 3GB in A, NVIDIA GeForce GTX 1080 Ti"),
    "model": (other_model, {}, "different work (model: resnet20 in A, resnet56 in B)"),
    "data": (lambda folder: change_study(folder, data_name="cifar10"), {}, "different work (data: simulated images"),
    "batch": (lambda folder: folder, {"batch_size": 64}, "(batch size of numpy: 32 in A, 64 in B)"),
    "dtype": (lambda folder: folder, {"dtype_policy": "mixed_float16"}, "(effective dtype of numpy: float32"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_unlike_things_are_refused_unless_forced(before: Path, tmp_path: Path, what: str) -> None:
    alter, changes, words = REFUSED[what]
    a, b = gather(before), gather(alter(study(tmp_path / "other", **changes)))
    with pytest.raises(UsageError) as refused:
        compare(a, b)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    forced = compare(a, b, force=True)
    assert any(words in reason for reason in forced.forced)
    assert "FORCED: different" in comparison_text(forced)


def test_a_refusal_is_one_line_and_exit_code_2(cli: Cli, before: Path, tmp_path: Path) -> None:
    other = other_card(study(tmp_path / "other"))
    refused = cli("compare", before, other)
    assert refused.returncode == 2
    assert "--force compares them anyway" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not refused.stdout
    forced = cli("compare", before, other, "--force")
    assert forced.returncode == 0
    assert "FORCED: different hardware" in forced.stdout


def test_a_machine_that_was_changed_is_told_and_not_refused(before: Path, tmp_path: Path) -> None:
    after = study(tmp_path / "after", seed=1)
    machine = load(Study, after / STUDY_FILE).environment
    change_study(after, environment=msgspec.structs.replace(machine, driver="560.1", versions={"keras": "3.15"}))
    found = compare(gather(before), gather(after))
    told = {difference.name: (difference.a, difference.b) for difference in found.environment}
    assert told == {"driver": ("550.54", "560.1"), "version of keras": ("-", "3.15")}
    assert "560.1" in comparison_text(found)


def test_a_strategy_that_fails_in_b_fails_the_comparison(before: Path, tmp_path: Path) -> None:
    after = study(tmp_path / "after", seed=1, state="out_of_memory")
    found = compare(gather(before), gather(after), fail_below=0.95)
    assert list(found.failed_in_b) == ["numpy"]
    assert found.failed_in_b["numpy"].startswith("out_of_memory")
    assert found.failed
    assert not compare(gather(before), gather(after)).failed, "without a floor nothing can fail"
    assert "FAILED: numpy did not run to its end in B." in comparison_text(found)
    assert not compare(gather(after), gather(before), fail_below=0.95).failed, "it runs again: nothing was lost"


def test_strategies_of_one_side_are_named(before: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    simulate_study(tmp_path / "few", STORY[:2], rounds=ROUNDS, seed=1)
    found = compare(gather(before), gather(tmp_path / "few"))
    assert found.only_a == ("tfdata_cache_prefetch", "device_resident", "xla")
    assert found.only_b == ()
    assert "Only A measured tfdata_cache_prefetch, device_resident and xla." in comparison_text(found)


def test_nothing_in_common_is_refused_even_when_forced(before: Path, tmp_path: Path) -> None:
    (tmp_path / "alien").mkdir()
    simulate_study(tmp_path / "alien", [SimulatedStrategy(name=name, step_ms=50.0) for name in ("alien", "other")])
    with pytest.raises(UsageError, match="no strategy in common"):
        compare(gather(before), gather(tmp_path / "alien"), force=True)


def test_the_ledger_names_what_grew_first(sessions: tuple[Path, Path]) -> None:
    plain, slow = sessions
    found = compare(gather(plain), gather(slow))
    (changed,) = found.strategies
    assert changed.outcome == "slower"
    assert changed.ledger is not None
    sizes = [abs(change.change_ms) for change in changed.ledger.changes]
    assert sizes == sorted(sizes, reverse=True)
    first = changed.ledger.changes[0]
    assert first.category == "idle_input"
    assert first.change_ms > 0
    for step_ms, parts in (
        (changed.ledger.a_step_ms, [change.a_ms for change in changed.ledger.changes]),
        (changed.ledger.b_step_ms, [change.b_ms for change in changed.ledger.changes]),
    ):
        assert sum(parts) == pytest.approx(step_ms, rel=1e-3)
    assert sum(change.b_fraction for change in changed.ledger.changes) == pytest.approx(1, rel=1e-3)
    told = comparison_text(found)
    assert told.startswith("SIMULATED")
    assert "idle_input" in told
    # What is too small for a row of its own has one together: the rows shown add up to the step's change.
    assert re.search(r"all else .* [+-]", told)
    assert "Neither side ran a strategy twice" in told


def test_a_longer_start_is_told_by_its_parts_and_another_backend_as_a_setting(before: Path, tmp_path: Path) -> None:
    other = study(tmp_path / "other")
    longer_ns = 8_000_000_000
    for path in other.glob(f"runs/*-numpy/{RUN_FILE}"):
        run = load(Run, path)
        assert run.settings is not None
        settings = msgspec.structs.replace(run.settings, backend="jax", jit_compile=True)
        first = next(place for place, phase in enumerate(run.phases) if phase.name == "warmup")
        moved = [
            msgspec.structs.replace(
                phase,
                start_ns=phase.start_ns - longer_ns * (place <= first),
                end_ns=phase.end_ns - longer_ns * (place < first),
            )
            for place, phase in enumerate(run.phases)
        ]
        save(msgspec.structs.replace(run, settings=settings, phases=tuple(moved)), path)
    found = compare(gather(before), gather(other))
    changed = of(found, "numpy")
    by_part = {part.part: part.change_s for part in changed.until_steady}
    assert by_part["first call"] == pytest.approx(8, abs=0.01)
    assert sum(by_part.values()) == pytest.approx(8, abs=0.1)
    assert ("backend", "tensorflow", "jax") in [(one.name, one.a, one.b) for one in changed.settings]
    told = comparison_text(found)
    assert re.search(r"Until the steps were steady: .* \(\+8\.0 s\)", told)
    assert re.search(r"first call .*\+8\.0 s", told)
    assert "Until the steps" not in comparison_text(compare(gather(before), gather(before)))


def test_readings_that_differ_are_told_and_others_not(sessions: tuple[Path, Path]) -> None:
    plain, slow = sessions
    readings = {reading.name: reading for reading in compare(gather(plain), gather(slow)).strategies[0].telemetry}
    assert readings["utilization_percent"].b < readings["utilization_percent"].a
    assert "memory_used_mib" not in readings
    assert compare(gather(plain), gather(plain)).strategies[0].telemetry == ()


def test_two_runs_of_unlike_strategies_are_a_pair(before: Path) -> None:
    runs = [before / "runs" / f"1-{name}" for name in ("numpy", "xla")]
    (changed,) = compare(gather(runs[0]), gather(runs[1])).strategies
    assert changed.strategy == "numpy -> xla"
    assert changed.ratio is not None
    assert changed.ratio.value == pytest.approx(2, rel=0.03)
    assert (changed.settings[0].name, changed.settings[0].a, changed.settings[0].b) == ("strategy", "numpy", "xla")


def test_a_run_without_its_study_says_what_is_not_checked(before: Path, tmp_path: Path) -> None:
    alone = (before / "runs" / "1-numpy").rename(tmp_path / "alone")
    try:
        found = compare(gather(alone), gather(alone))
    finally:
        alone.rename(before / "runs" / "1-numpy")
    assert found.not_checked == ("the hardware", "the data")
    assert "Not checked to be the same, since A or B does not record it: the hardware and the data." in comparison_text(
        found
    )


def test_two_traces_compare_their_steps(sessions: tuple[Path, Path]) -> None:
    traces = [next(folder.glob("runs/*/trace")) for folder in sessions]
    found = compare(gather(traces[0]), gather(traces[1]))
    (changed,) = found.strategies
    assert changed.rate_unit == "steps/s"
    assert changed.ledger is not None
    assert changed.ledger.changes[0].category == "idle_input"
    assert "the model" in found.not_checked


def test_traces_of_other_cards_are_refused(sessions: tuple[Path, Path], tmp_path: Path) -> None:
    small = msgspec.structs.replace(SESSION, card=Card(sm_count=28, compute_capability="6.1"))
    traces = [next(folder.glob("runs/*/trace")) for folder in (sessions[0], session(tmp_path / "small", small))]
    with pytest.raises(UsageError, match=r"card of traced steps: 68 SMs .* in A, 28 SMs"):
        compare(*map(gather, traces))
    pair = msgspec.structs.replace(SESSION, collective=Collective(gpus=2))
    several = next(session(tmp_path / "pair", pair).glob("runs/*/trace"))
    with pytest.raises(UsageError, match="traced devices: 1 in A, 2 in B"):
        compare(gather(traces[0]), gather(several))


def test_recorded_traces_of_one_step_compare_their_ledgers(real_traces: Path) -> None:
    sides = [gather(real_traces / "tensorflow" / f"{name}.xplane.pb") for name in ("v100-02", "v100-03", "t4-01")]
    found = compare(*sides[:2])
    assert found.strategies[0].outcome == "unknown"
    assert found.strategies[0].ledger is not None
    assert "fewer than two steps" in comparison_text(found)
    with pytest.raises(UsageError, match="different hardware"):
        compare(sides[0], sides[2])


def watched(cause: str, confidence: Confidence, *others: str, **run_ms: float) -> Side:
    measured = Measured(
        strategy="watched command",
        rates={},
        why_no_rate="its window holds too few steps for a rate",
        cause=Cause(cause=cause, confidence=confidence, severity=0.8, of="run"),
        causes=(cause, *others),
        run_ms=run_ms,
    )
    return Side(path=cause, kind="watch", measured=(measured,))


def test_of_watched_trainings_it_is_said_which_cause_went_and_what_a_step_costs_no_more() -> None:
    flawed = watched("checkpointing", "high", "host_between_steps", steps=2.0, checkpoint=8.0)
    fixed = watched("host_between_steps", "medium", steps=2.0, epoch_start=0.5)
    found = compare(flawed, fixed)
    assert found.strategies[0].gone
    said = comparison_text(found)
    assert "checkpointing (confidence high), which led in A, is gone; in B host_between_steps leads (medium)" in said
    assert "Wall time of the run for each step: 10.0 ms in A, 2.50 ms in B (-7.50 ms)" in said
    assert re.search(r"checkpoint +8.00 ms +80 % +0 us +0 % +-8.00 ms", said)
    beside = compare(flawed, watched("host_between_steps", "medium", "checkpointing", steps=2.0))
    assert not beside.strategies[0].gone
    assert "no longer leads" in comparison_text(beside)
    same = "The same cause leads in both: checkpointing, with 80 % of the run in A (confidence high) and 80 % of the"
    assert same in comparison_text(compare(flawed, flawed))


def test_a_stage_that_led_in_a_and_not_in_b_leads_no_longer_though_the_cause_is_the_same() -> None:
    plain = watched("input_bound", "high", steps=2.0)
    cause = Cause(cause="input_bound", confidence="high", stage="slow_map", severity=0.9)
    staged = msgspec.structs.replace(plain, measured=(msgspec.structs.replace(plain.measured[0], cause=cause),))
    said = comparison_text(compare(staged, plain))
    assert "input_bound, slow_map (confidence high), which led in A, no longer leads; in B input_bound" in said
    same = comparison_text(compare(staged, staged))
    assert "The same cause leads in both: input_bound, slow_map, with 90 % of the step" in same


def test_the_verdict_on_watched_trainings_is_that_of_the_whole_run_and_not_of_its_timed_steps() -> None:
    sides = [watched("checkpointing", "high", steps=2.0, checkpoint=8.0), watched("epoch_start", "low", steps=2.4)]
    timed = [
        msgspec.structs.replace(side, measured=(msgspec.structs.replace(side.measured[0], rates={1: rate}),))
        for side, rate in zip(sides, (RunRate(6.0, 0.01, 8, ()), RunRate(5.6, 0.01, 8, ())), strict=True)
    ]
    over_run = "Verdict: Over the whole run, one-time parts left out, a step takes 10.0 ms in A and 2.40 ms in B. "
    over_run += "Most of the difference: checkpoint (-8.00 ms)."
    assert over_run in comparison_text(compare(*sides))
    assert f"{over_run} In the timed steps alone: B is slower in watched command." in comparison_text(compare(*timed))


@pytest.mark.parametrize(
    ("step_ms", "traced_ms", "named"), [(20.0, 15.0, True), (0.0, 15.0, False), (20.0, 0.5, False)]
)
def test_where_the_steps_changed_most_the_verdict_names_what_changed_like_them_in_the_trace(
    step_ms: float, traced_ms: float, named: bool
) -> None:
    parts = CategoryChange(category="idle_input", a_ms=traced_ms, b_ms=1.0, a_fraction=0.75, b_fraction=0.2)
    traced = Ledger(a_step_ms=traced_ms + 4, b_step_ms=5.0, changes=(parts,))
    found = compare(watched("input_bound", "high", steps=step_ms, fit=9.0), watched("epoch_start", "low", steps=1.0))
    told = msgspec.structs.replace(found.strategies[0], ledger=traced)
    said = comparison_text(msgspec.structs.replace(found, strategies=(told,)))
    assert ("steps (-19.0 ms); in the traced step: idle_input (-14.0 ms)." in said) == named


def test_what_fit_was_given_and_how_the_script_divides_its_steps_are_settings() -> None:
    sides = [given_words(Given(data_kind="a PyDataset", data_workers=workers, callbacks=())) for workers in (1, 16)]
    assert [side["workers of the PyDataset"] for side in sides] == ["1", "16"]
    parts = (
        WallPart(kind="fit", total_ns=9_000_000, times=3),
        WallPart(kind="epoch_start", total_ns=9_000_000, times=3),
        WallPart(kind="callback", name="Saved", total_ns=12_000_000, times=6),
        WallPart(kind="steps", total_ns=6_000_000, times=6),
    )
    run = breakdown_of_wall(Wall(started_ns=0, ended_ns=36_000_000, parts=parts))
    assert run is not None
    assert step_counts_as_text(run) == {"calls of fit": "3", "steps an epoch": "2"}
    assert run_ms(run)["callback Saved"] == pytest.approx(2.0)


def test_what_one_side_does_not_record_of_fit_is_not_called_a_difference() -> None:
    by_fit = given_words(Given(data_kind="arrays", epochs=3, callbacks=())) | {"calls of fit": "2"}
    by_loop = given_words(Given(own_loop=True)) | {"calls of fit": "0"}
    sides = [
        msgspec.structs.replace(watched("input_bound", "low", steps=1.0).measured[0], choices=choices)
        for choices in (by_fit, by_loop)
    ]
    differing = {difference.name for difference in settings(*sides)}
    assert differing == {"calls of fit", "steps come from"}


def test_watches_have_no_rate_and_cannot_be_held_against_a_floor(cli: Cli, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("busy", "idle")]
    for folder, load_percent in zip(folders, (90.0, 20.0), strict=True):
        folder.mkdir()
        record(folder, [load_percent] * 10)
    found = compare(*map(gather, folders))
    assert found.strategies[0].why_no_ratio == "neither has a rate (a watch counts no samples)"
    assert "utilization_percent" in comparison_text(found)
    refused = cli("compare", *folders, "--fail-below", "0.95")
    assert refused.returncode == 3
    assert "no ratio to check against --fail-below" in refused.stderr
    with pytest.raises(InputError):
        compare(*map(gather, folders), fail_below=0.95)


rates = st.dictionaries(
    st.integers(1, 5),
    st.builds(RunRate, st.floats(1, 9), st.floats(0, 0.2), st.integers(2, 8), st.just(())),
    min_size=1,
    max_size=4,
)


@given(rates, rates)
def test_a_ratio_and_its_inverse_agree(a: dict[int, RunRate], b: dict[int, RunRate]) -> None:
    noise = spread.between_rounds({"A": a, "B": b})
    forward, backward = spread.unpaired_ratio(b, a, noise), spread.unpaired_ratio(a, b, noise)
    assert forward.error > 0
    assert forward.log_ratio == pytest.approx(-backward.log_ratio)
    assert (forward.error, forward.freedom) == pytest.approx((backward.error, backward.freedom))


def side_of(path: str, log_rates: dict[str, list[float]]) -> Side:
    """A recording of these strategies, with one log rate a round, each of a quiet run."""
    measured = [
        Measured(strategy=name, rates={number: RunRate(rate, 0.001, 8, ()) for number, rate in enumerate(of_rounds)})
        for name, of_rounds in log_rates.items()
    ]
    return Side(path=path, kind="study", measured=tuple(measured))


def test_of_14_strategies_that_are_alike_one_is_called_different_in_at_most_5_of_100_comparisons() -> None:
    random, claimed, failed = np.random.default_rng(5), 0, 0
    for _ in range(200):
        a, b = (
            side_of(path, {f"strategy{n}": list(random.normal(5.0, 0.05, ROUNDS)) for n in range(14)}) for path in "ab"
        )
        found = compare(a, b, fail_below=1.0)
        claimed += any(change.outcome != "tie" for change in found.strategies)
        failed += found.failed
    # Of 200 comparisons, 16 are as many as chance makes of 5 % in one of 20 tests.
    assert failed <= claimed <= 16


def test_two_runs_are_not_told_apart_by_the_spread_within_them() -> None:
    a = side_of("a", {"same": [5.0], "slower": [5.0]})
    found = compare(a, side_of("b", {"same": [5.1], "slower": [4.0]}), fail_below=0.95)
    assert [change.outcome for change in found.strategies] == ["tie", "slower"]
    assert [change.below for change in found.strategies] == [False, True]
    assert any("an assumption (5 %)" in note for note in found.notes)
    assert any("all strategies together" in note for note in found.notes)
