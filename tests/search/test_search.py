"""The search for `tuned`: greedy, honest about noise, kept in the records alone, and within the budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.measure import live_runs, partners, runner, turns
from gpuprobe.measure import study as measure
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.gate import Gate
from gpuprobe.measure.host_disturbance import HostDisturbance
from gpuprobe.ranking.comparisons import Comparisons
from gpuprobe.ranking.load import load
from gpuprobe.ranking.search_rates import SearchRates
from gpuprobe.ranking.search_records import Search
from gpuprobe.recording import RUN_FILE, SPEC_FILE, STUDY_FILE, load_runs, load_study
from gpuprobe.records import (
    Combination,
    Gain,
    LossPoint,
    Outcome,
    Phase,
    Run,
    RunSpec,
    State,
    StrategyInfo,
    Study,
    TraceInfo,
    save,
    to_json,
)
from gpuprobe.report.story import story_of
from gpuprobe.report.write import write
from gpuprobe.search.allowed_error import allowed_error
from gpuprobe.search.candidates import SearchBasis
from gpuprobe.search.forecast import PredictedGain, predict_gains
from gpuprobe.search.greedy import continue_search, without_missing_runs
from gpuprobe.search.next_run import by_predicted_gain, combined, next_combination
from gpuprobe.simulate import demo, recordings
from gpuprobe.simulate.sessions import Member, StudyInProgress
from gpuprobe.strategies.registry import changes, strategies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

    from gpuprobe.records import Settings

BASE, TUNED = "tfdata_cache_prefetch", "tuned"
# What each change gains by itself; in the truth of a machine the pairs say what is left of it on top of another.
ALONE = {"xla": 1.6, "large_batch": 1.4, "mixed_precision": 1.3, "steps_per_execution": 1.01}
CALLS, SPREAD = 80, 0.02


def plain_settings() -> Settings:
    return recordings.settings(device="/device:CPU:0", batch_size=32)


def study(rounds: int = 2, search_steps: int | None = None, alone: Mapping[str, float] = ALONE) -> Study:
    infos = [StrategyInfo(name=BASE, sentence="The start.")]
    infos += [StrategyInfo(name=name, sentence="One.", against=BASE, change=name, what_if=name) for name in alone]
    infos.append(StrategyInfo(name=TUNED, sentence="All.", against=BASE, change="what helped", combines=True))
    machine = recordings.environment([])
    made = recordings.study_record("s", machine, infos, rounds=rounds, batch_size=32, command="gpuprobe run")
    return msgspec.structs.replace(made, request=msgspec.structs.replace(made.request, search_steps=search_steps))


def gain_of(spec: RunSpec, alone: Mapping[str, float], pairs: Mapping[frozenset[str], float]) -> float:
    """How many times as fast as the start: gains multiply, but for pairs that have a factor of their own."""
    changes = spec.combines if spec.strategy == TUNED else (spec.strategy,)
    factor = math.prod(alone.get(change, 1.0) for change in changes)
    return factor * math.prod(extra for pair, extra in pairs.items() if pair <= set(changes))


def measured(
    spec: RunSpec,
    alone: Mapping[str, float] = ALONE,
    pairs: Mapping[frozenset[str], float] | None = None,
    state: State = "done",
    loss_offset: float = 0.0,
    seed: tuple[int, ...] = (),
) -> Run:
    """The made measurement: steps of 10 ms at the start, faster by the truth, with a little noise of each run."""
    random = np.random.default_rng([*seed, spec.round, spec.step, len(spec.strategy), *map(len, spec.combines)])
    step_ns = 1e7 / gain_of(spec, alone, pairs or {}) * (1 + 0.003 * random.standard_normal())
    ends = np.cumsum(step_ns * np.abs(1 + SPREAD * random.standard_normal(CALLS))).astype(np.int64) + 1
    window = Phase(name="window", start_ns=1, end_ns=int(ends[-1]), call_ends_ns=tuple(ends.tolist()))
    seen = np.arange(1, CALLS + 1) * 32
    losses = tuple(LossPoint(samples=int(n), loss=2.3 * math.exp(-n / 20_000) + loss_offset) for n in seen)
    message = "" if state == "done" else "the device ran out"
    return Run(
        spec=spec,
        outcome=Outcome(state=state, message=message),
        settings=plain_settings(),
        phases=(window,),
        losses=losses,
    )


def spec(strategy: str, number: int = 1, step: int = 0, combines: tuple[str, ...] = ()) -> RunSpec:
    return RunSpec(strategy=strategy, round=number, step=step, combines=combines, seed=0, batch_size=32)


def singles(made: Study, alone: Mapping[str, float] = ALONE) -> list[Run]:
    rounds = range(1, made.request.rounds + 1)
    return [measured(spec(i.name, n), alone) for n in rounds for i in made.strategies if not i.combines]


def known(made: Study, runs: Sequence[Run], foretold: Mapping[str, Mapping[str, float]] | None = None) -> SearchBasis:
    """What a search knows; `foretold` gives the gains that the trace of what is kept predicts, by its last change."""

    def oracle(base: tuple[Path, Run] | None, infos: Sequence[StrategyInfo], *, loop: bool) -> dict[str, PredictedGain]:
        assert not loop or made.strategies[0].part == "loop"
        kept = (base[1].spec.combines or (base[1].spec.strategy,))[-1] if base else ""
        gains = (foretold or {}).get(kept, {})
        return {
            info.name: PredictedGain(info.name, Gain(ratio=gains[info.name]))
            if info.name in gains
            else PredictedGain(info.name, missing="no trace")
            for info in infos
        }

    return SearchBasis(
        infos={info.name: info for info in made.strategies},
        candidates=[info for info in made.strategies if info.what_if],
        runs={Path(f"{run.spec.round}-{run.spec.strategy}-{run.spec.step}"): run for run in runs},
        rates=SearchRates.of([run for run in runs if not run.spec.step], BASE),
        predict_gains=oracle,
        failed={},
        most_runs=made.request.search_steps,
    )


def replay(made: Study, runs: Sequence[Run], before: Search | None = None, **more: object) -> Search:
    search = before or Search(strategy=TUNED, start=BASE)
    return continue_search(without_missing_runs(search, runs), known(made, runs, **more))  # type: ignore[arg-type]


def explore(
    made: Study, runs: list[Run], foretold: Mapping[str, Mapping[str, float]] | None = None, **truth: object
) -> Iterator[Search]:
    """Measure what the search asks for until it has ended; give each state of it."""
    found = None
    while True:
        found = replay(made, runs, found, foretold=foretold)
        yield found
        if found.following is None:
            return
        asked = spec(TUNED, made.request.rounds, found.following_run, found.following)
        runs.append(measured(asked, **truth))  # type: ignore[arg-type]


def path(found: Search) -> list[tuple[str, bool | None]]:
    return [(step.change, step.kept) for step in found.steps]


def reasons(found: Search) -> dict[str, str]:
    return {one.expected.change: one.reason for one in found.left}


def test_changes_are_tried_upon_each_other_in_the_order_of_what_they_promise() -> None:
    made = study()
    states = list(explore(made, singles(made)))
    assert [state.following for state in states] == [
        ("xla", "large_batch"),
        ("xla", "large_batch", "mixed_precision"),
        ("xla", "large_batch", "mixed_precision"),
        None,
    ]
    found = states[-1]
    assert path(found) == [("xla", True), ("large_batch", True), ("mixed_precision", True)]
    assert [(step.measured_as, step.run) for step in found.steps] == [("xla", 0), ("", 1), ("", 2)]
    assert (found.kept, found.final) == (("xla", "large_batch", "mixed_precision"), 3)
    reached = 1.0
    for step in found.steps:
        reached *= ALONE[step.change]
        assert step.gain is not None
        assert step.gain.low <= ALONE[step.change] <= step.gain.high
        assert step.expected.by == "runs"
        assert step.expected.ratio == pytest.approx(ALONE[step.change], rel=0.03)
        assert step.reason == "faster beyond the noise"
        assert step.speedup is not None
        assert step.speedup.value == pytest.approx(reached, rel=0.03)
    assert reasons(found) == {"steps_per_execution": "its predicted gain is within the noise"}


def test_the_trace_of_what_is_kept_decides_where_it_can_tell() -> None:
    made = study()
    runs = [msgspec.structs.replace(run, trace=TraceInfo(path="trace")) for run in singles(made)]
    # On the start mixed precision promises most; then the trace of that says that XLA has nothing left to give.
    foretold = {BASE: {"mixed_precision": 3.0, "xla": 1.5}, "mixed_precision": {"xla": 1.01}}
    *_, found = explore(made, runs, foretold)
    assert path(found)[:2] == [("mixed_precision", True), ("large_batch", True)]
    assert [step.expected.by for step in found.steps[:2]] == ["trace", "runs"]


def test_a_change_that_gains_nothing_upon_another_is_dropped_and_the_next_builds_without_it() -> None:
    made = study()
    # Fused kernels leave nothing for the larger batch to gain.
    *_, found = explore(made, singles(made), pairs={frozenset({"xla", "large_batch"}): 1 / 1.4})
    assert path(found) == [("xla", True), ("large_batch", False), ("mixed_precision", True)]
    assert found.steps[1].reason == "no gain beyond the noise"
    assert found.steps[2].combines == found.kept == ("xla", "mixed_precision")
    *_, slower = explore(made, singles(made), pairs={frozenset({"xla", "large_batch"}): 0.5})
    assert slower.steps[1].reason == "slower"


def test_what_the_studys_own_runs_measured_is_kept_where_its_ranking_calls_it_faster() -> None:
    kept = []
    for gain in np.linspace(1.0, 1.04, 41):
        alone = {**dict.fromkeys(ALONE, 1.0), "xla": float(gain)}
        made = study(alone=alone)
        runs = [msgspec.structs.replace(run, trace=TraceInfo(path="trace")) for run in singles(made, alone)]
        (step,) = replay(made, runs, foretold={BASE: {"xla": 1.5}}).steps
        assert step.measured_as == "xla"
        assert step.kept is (Comparisons.of(runs, BASE).beyond("xla", BASE) == "faster"), f"{gain:.3f}"
        kept.append(step.kept)
    assert any(kept)
    assert not all(kept)


def test_of_changes_without_a_gain_at_most_5_of_100_searches_keep_one() -> None:
    none = {f"change{number}": 1.0 for number in range(6)}
    made = study(alone={**none, **dict.fromkeys(ALONE, 1.0)})
    searches_that_kept = 0
    for seed in range(1, 101):
        measured_alone = [
            measured(spec(info.name, number), {}, seed=(seed, place))
            for number in (1, 2)
            for place, info in enumerate(made.strategies)
            if info.name not in none and not info.combines
        ]
        runs = [msgspec.structs.replace(run, trace=TraceInfo(path="trace")) for run in measured_alone]
        *_, found = explore(made, runs, {BASE: dict.fromkeys(none, 1.5)}, alone={}, seed=(seed,))
        assert {step.change for step in found.steps} >= none.keys() or found.kept
        searches_that_kept += bool(found.kept)
    assert searches_that_kept <= 5, searches_that_kept


def test_a_change_that_is_dropped_uses_up_half_of_the_error_and_one_that_is_kept_none() -> None:
    made = study()
    # The first step is that of the study's own strategy, whose comparisons hold already.
    *_, kept = explore(made, singles(made))
    assert [(step.run > 0, step.kept) for step in kept.steps] == [(False, True), (True, True), (True, True)]
    assert allowed_error(kept) == pytest.approx(0.025)
    *_, dropped = explore(made, singles(made), pairs={frozenset({"xla", "large_batch"}): 1 / 1.4})
    assert path(dropped) == [("xla", True), ("large_batch", False), ("mixed_precision", True)]
    assert allowed_error(dropped) == pytest.approx(0.0125)
    assert allowed_error(Search(strategy=TUNED, start=BASE)) == pytest.approx(0.025)


def test_where_nothing_promises_a_gain_the_start_is_measured_once_more_and_that_is_all() -> None:
    none = dict.fromkeys(ALONE, 1.0)
    made = study(alone=none)
    states = list(explore(made, singles(made, none)))
    assert [state.following for state in states] == [(), None]
    found = states[-1]
    assert (found.steps, found.kept, found.final) == ((), (), 1)
    assert set(reasons(found)) == set(ALONE)


def test_where_every_further_step_is_dropped_the_first_change_is_measured_once_more() -> None:
    two = {"xla": 1.6, "large_batch": 1.4}
    made = study(alone=two)
    states = list(explore(made, singles(made, two), pairs={frozenset(two): 1 / 1.4}))
    assert [state.following for state in states] == [("xla", "large_batch"), ("xla",), None]
    assert path(states[-1]) == [("xla", True), ("large_batch", False)]
    assert (states[-1].kept, states[-1].final) == (("xla",), 2)


def test_a_loss_that_leaves_the_band_and_a_step_that_fails_are_dropped() -> None:
    made = study()
    runs = singles(made)
    found = replay(made, runs)
    runs.append(measured(spec(TUNED, 2, 1, ("xla", "large_batch")), loss_offset=1.5))
    found = replay(made, runs, found)
    assert "above the others'" in found.steps[1].reason
    assert found.following == ("xla", "mixed_precision")
    runs.append(measured(spec(TUNED, 2, 2, ("xla", "mixed_precision")), state="out_of_memory"))
    found = replay(made, runs, found)
    assert found.steps[2].reason == "out of memory: the device ran out"
    assert found.following == ("xla",)


def test_what_trains_otherwise_or_learns_otherwise_is_left_alone_and_said_so() -> None:
    made = study()
    infos = {one.name: one for one in made.strategies}
    infos["large_batch"] = msgspec.structs.replace(infos["large_batch"], part="batch")
    made = msgspec.structs.replace(made, strategies=tuple(infos.values()))
    runs = [r if r.spec.strategy != "xla" else measured(r.spec, loss_offset=1.5) for r in singles(made)]
    *_, found = explore(made, runs)
    assert [step.change for step in found.steps] == ["mixed_precision"]
    assert reasons(found)["xla"].startswith("its loss curve differs: loss")
    assert "what is learnt" in reasons(found)["large_batch"]


def test_it_takes_at_most_so_many_runs_and_says_what_is_left() -> None:
    made = study(search_steps=1)
    *_, found = explore(made, singles(made))
    assert (found.kept, found.following) == (("xla", "large_batch"), None)
    assert reasons(found)["mixed_precision"] == "the search of this study takes 1 run at most"


def test_one_that_was_stopped_is_measured_again_and_what_was_decided_stays() -> None:
    made = study()
    runs = singles(made)
    alone = len(runs)
    states = list(explore(made, runs))
    for count, state in enumerate(states):
        cut = runs[: alone + count]
        assert replay(made, cut, state) == state
        stopped = measured(spec(TUNED, 2, count + 1, ("xla", "large_batch")), state="interrupted")
        assert replay(made, [*cut, stopped], state) == state
    # A run that is gone is measured again, and all that built on it.
    lost = replay(made, runs[:alone], states[-1])
    assert path(lost) == [("xla", True), ("large_batch", None)]
    assert lost.following == ("xla", "large_batch")


def test_the_path_stays_when_another_is_measured_later() -> None:
    made = study()
    runs = [run for run in singles(made) if run.spec.strategy != "xla"]
    *_, found = explore(made, runs)
    assert found.kept == ("large_batch", "mixed_precision")
    late = [run for run in singles(made) if run.spec.strategy == "xla"]
    found = replay(made, [*runs, *late], found)
    assert found.following == ("large_batch", "mixed_precision", "xla")


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.sampled_from(sorted(ALONE)), st.floats(0.5, 3.0), min_size=1), st.randoms())
def test_it_always_ends_and_never_tries_a_change_twice(alone: dict[str, float], random: Random) -> None:
    made = study(alone=alone)
    runs = singles(made, alone)
    upon = {name: random.uniform(0.5, 2.0) for name in alone}
    *_, found = explore(made, runs, alone=upon)
    tried = [step.change for step in found.steps]
    assert len(tried) == len(set(tried)) <= len(alone)
    assert found.kept == tuple(step.change for step in found.steps if step.kept)
    assert found.final
    assert not set(tried) & set(reasons(found))
    gains = [step.expected.ratio for step in found.steps]
    assert gains == sorted(gains, reverse=True), "without traces the order is that of the gains alone"


class Worker:
    """Stands in for the process of a run: writes what it is let do when it is let go on."""

    pid = 1
    pids = (pid,)

    def __init__(self, folder: Path, asked: RunSpec, machine: Machine) -> None:
        self._gate, self._log, self._run = Gate(folder), EventLog(folder), measured(asked, machine.measured_alone)
        self._machine, self._fails = machine, asked.combines == machine.failing != ()
        self._code: int | None = None
        self._now_ns = 1
        self._log.write("phase", 1, name="held")
        if asked.strategy in machine.unbuildable:
            self._log.write("error", 1, state="failed", message="it cannot be compiled")
            self._code = 1
            return
        self._log.write("settings", 1, settings=msgspec.to_builtins(self._run.settings))

    def exit_code(self) -> int | None:
        return self._code

    def outcome(self) -> None:
        """Its events tell how it ended."""

    def hint(self) -> str:
        return ""

    def kill(self) -> None:
        self._code = -9

    def freeze(self) -> None:
        """It does nothing by itself."""

    def thaw(self) -> None:
        command, (window,) = self._gate.wait(), self._run.phases
        if command.last:
            self._log.write("done", self._now_ns)
            self._code = 0
            return
        # No two turns of a machine are quite the same.
        pace = 1 + SPREAD * math.sin(7 * command.lap + len(self._run.spec.strategy))
        ends_ns = [self._now_ns + round(pace * end_ns) for end_ns in window.call_ends_ns]
        about = {"name": "turn", "lap": command.lap} if command.lap else {"name": "window"}
        self._log.write("phase", self._now_ns, **about)
        self._log.write("calls", ends_ns[-1], ends_ns=ends_ns)
        self._now_ns = ends_ns[-1]
        self._machine.now_s += 1.0 if command.lap else 0.0
        if self._fails:
            self._log.write("error", self._now_ns, state="failed", message="it broke")
            self._code = 1
        elif not command.lap:
            self._log.write("losses", self._now_ns, points=msgspec.to_builtins(self._run.losses))
        self._log.write("phase", self._now_ns, name="paused")


class Machine:
    """Stands in for the processes and the clock of a study: every run takes 20 s beside its window and its turns."""

    def __init__(
        self, failing: tuple[str, ...] = (), alone: Mapping[str, float] = ALONE, unbuildable: tuple[str, ...] = ()
    ) -> None:
        self.now_s, self.failing, self.measured_alone, self.unbuildable = 0.0, failing, alone, unbuildable
        self.started: list[tuple[int, str, tuple[str, ...]]] = []

    def __call__(self) -> Machine:
        return self

    def start(self, folder: Path, asked: RunSpec) -> Worker:
        self.started.append((asked.round, asked.strategy, asked.combines))
        self.now_s += 20.0
        save(asked, folder / SPEC_FILE)
        return Worker(folder, asked, self)

    def close(self) -> None:
        """Nothing is held."""

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


On = Callable[[Machine], Machine]


class Quiet:
    def run_started(self, spec: RunSpec, index: int, total: int) -> None:
        assert 0 <= index < total

    def run_progress(self, progress: object) -> None: ...

    def run_finished(self, run: Run) -> None: ...


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> On:
    def install(machine: Machine) -> Machine:
        monkeypatch.setattr(measure, "ForkingLauncher", machine)
        for module in (runner, live_runs, partners, turns):
            monkeypatch.setattr(module, "time", machine)
        monkeypatch.setattr(live_runs, "telemetry", SimpleNamespace(sampling=lambda *_: nullcontext()))
        # The real machine's load is none of theirs.
        monkeypatch.setattr(HostDisturbance, "read_counters", lambda *_: None)
        monkeypatch.setattr(HostDisturbance, "disturbance", lambda *_: "")
        return machine

    return install


def carried_out(made: Study, folder: Path) -> list[tuple[str, int]]:
    save(made, folder / STUDY_FILE)
    return [(left.strategy, left.step) for left in measure.carry_out(made, folder, None, Quiet(), next_combination)]


def with_budget(made: Study, budget_s: float) -> Study:
    return msgspec.structs.replace(made, request=msgspec.structs.replace(made.request, budget_s=budget_s))


def test_a_study_searches_after_all_else_and_the_report_tells_the_path(tmp_path: Path, on: On) -> None:
    made, machine = with_budget(study(), 3600.0), on(Machine())
    assert carried_out(made, tmp_path) == []
    assert len(machine.started) == 2 * 5 + 3
    whole = ("xla", "large_batch", "mixed_precision")
    assert [combines for _, _, combines in machine.started[-3:]] == [("xla", "large_batch"), whole, whole]
    assert {path.name for path in load_runs(tmp_path)} >= {"2-tuned-1", "2-tuned-2", "2-tuned-3"}
    loaded = write(tmp_path)
    row = loaded.ranking.row(TUNED)
    assert row is not None
    assert row.combines == whole
    assert row.against == BASE
    assert combined(loaded, TUNED) == Combination(start=BASE, changes=whole, step=0)
    assert row.gain is not None
    assert row.gain.low <= 1.6 * 1.4 * 1.3 <= row.gain.high
    assert [run.spec.step for run in loaded.runs.values() if run.spec.strategy == TUNED] == [3]
    text = (tmp_path / "report.md").read_text()
    section = text[text.index("## How tuned was found") :]
    lines = section.splitlines()
    first, last = (next(line for line in lines if line.startswith(start)) for start in ("| 1 | `xla`", "| 3 | `mixed"))
    assert lines.index(first) < lines.index(last)
    assert "| 1.3" in last
    assert "kept: faster beyond the noise, in the runs of `xla` |" in first
    assert section.count("kept: faster beyond the noise |") == 2
    assert "Kept: `xla`, `large_batch` and `mixed_precision` on top of `tfdata_cache_prefetch`." in section
    assert "- `steps_per_execution`: 1.0" in section
    told = msgspec.json.decode((tmp_path / "report.json").read_bytes())["searches"][0]
    assert [(step["change"], step["kept"]) for step in told["steps"]] == [
        ("xla", True), ("large_batch", True), ("mixed_precision", True)
    ]  # fmt: skip
    before = len(machine.started)
    assert carried_out(made, tmp_path) == []
    assert len(machine.started) == before, "a search that has ended is not begun again"


def test_what_promises_most_is_measured_first(tmp_path: Path, on: On) -> None:
    promising = ["large_batch", "xla", BASE, "steps_per_execution", "mixed_precision"]
    asked = 0

    def order(folder: Path, strategies: Sequence[str]) -> list[str] | None:
        nonlocal asked
        asked += 1
        # Before the baseline has a trace nothing can be told.
        return None if asked == 1 else [name for name in promising if name in strategies]

    made, machine = with_budget(study(), 3600.0), on(Machine())
    save(made, tmp_path / STUDY_FILE)
    assert measure.carry_out(made, tmp_path, None, Quiet(), next_combination, order) == []
    assert asked == 2, "asked until there is an answer, and no more"
    rounds = [(number, name) for number, name, combines in machine.started if not combines]
    # Three warm up side by side before the first of them has told anything.
    assert [name for number, name in rounds if number == 1] == [BASE, "xla", "large_batch", *promising[3:]]
    assert [name for number, name in rounds if number == 2] == [BASE, *(one for one in promising[::-1] if one != BASE)]


def test_the_trace_of_the_baseline_tells_what_promises_most(tmp_path: Path) -> None:
    infos = [strategy.info for strategy in strategies().values()]
    names = [info.name for info in infos if not info.combines]
    story = StudyInProgress(tmp_path, infos, demo.BASELINE, rounds=1, command="test")
    assert by_predicted_gain(tmp_path, names) is None
    story.measure(Member(info=infos[0], spec=demo.BASELINE))
    ordered = by_predicted_gain(tmp_path, names)
    assert ordered is not None
    assert sorted(ordered) == sorted(names)
    # A larger batch and fewer launches gain most by the trace; what they are compared with comes right before.
    assert ordered[:3] == (BASE, "large_batch", "xla")
    assert by_predicted_gain(tmp_path, ["xla", "numpy", "generator"]) == ("xla", "numpy", "generator")
    (trace,) = tmp_path.glob("runs/*/trace/plugins/profile/*/*.xplane.pb")
    trace.write_bytes(b"damaged")
    assert by_predicted_gain(tmp_path, names[1:]) is not None, "a damaged trace leaves an order that can be measured"


def story(folder: Path, *specs: str) -> tuple[dict[str, StrategyInfo], StudyInProgress]:
    """Simulate the demo's session under these strategies, of a study that may try all that the catalogue has."""
    infos = {name: one.info for name, one in changes().items()}
    measured = [infos[name] for name in specs]
    further = [info for info in infos.values() if info.name not in specs and info.what_if]
    made = StudyInProgress(folder, measured, demo.BASELINE, rounds=1, command="test", changes=further)
    sessions = demo.specs(list(infos.values()))
    for info in measured:
        if not info.combines:
            made.measure(Member(info=info, spec=msgspec.structs.replace(sessions[info.name], name=info.name)))
    return infos, made


def test_from_the_baseline_alone_its_trace_tells_what_to_try(tmp_path: Path) -> None:
    story(tmp_path, "python_feed", TUNED)
    chosen = next_combination(tmp_path, TUNED)
    assert chosen == Combination(start="python_feed", changes=("xla",), step=1)
    search = load(tmp_path, traces=False).ranking.search(TUNED)
    assert search is not None
    (step,) = search.steps
    assert step.expected.by == "trace"
    assert step.expected.measured_alone is None
    assert step.kept is None
    assert "The search has not ended: `xla` is to be measured next." in story_of(search, load(tmp_path).ranking).ending


def test_an_own_loop_cannot_run_several_steps_in_a_call_until_fit_feeds_it() -> None:
    several = StrategyInfo(name="steps_per_execution", sentence="One.", against=BASE, what_if="steps", part="fit")
    infos = (
        StrategyInfo(name=BASE, sentence="The start.", part="loop"),
        StrategyInfo(name="numpy", sentence="One.", against=BASE, what_if="input_free", part="feed"),
        several,
        StrategyInfo(name=TUNED, sentence="All.", against=BASE, combines=True),
    )
    made = msgspec.structs.replace(study(), strategies=infos)
    alone = {"numpy": 1.2, several.name: 2.0}
    *_, found = explore(made, singles(made, alone), alone=alone)
    assert path(found) == [("numpy", True), (several.name, True)]


def test_sizes_are_chosen_by_what_the_trace_foretells(tmp_path: Path) -> None:
    infos, _ = story(tmp_path, "numpy", "tfdata")
    runs, study_ = load_runs(tmp_path), load_study(tmp_path)
    by_name = {run.spec.strategy: (path, run) for path, run in runs.items()}
    asked = [infos[name] for name in ("steps_per_execution", "tfdata_prefetch", "tfdata_parallel")]
    on_fit = predict_gains(by_name["numpy"], asked, loop=False, study=study_, runs=runs)
    steps = on_fit["steps_per_execution"]
    assert steps.gain is not None
    name, _, size = steps.change.partition("=")
    assert (name, int(size or 8) > 2) == ("steps_per_execution", True)
    assert "ahead already" in on_fit["tfdata_prefetch"].missing
    inline = predict_gains(by_name["tfdata"], asked, loop=False, study=study_, runs=runs)
    assert inline["tfdata_prefetch"].gain is not None
    assert inline["tfdata_prefetch"].gain.ratio > 1.1
    parallel = inline["tfdata_parallel"]
    assert parallel.gain is not None
    assert int(parallel.change.removeprefix("tfdata_parallel=")) in infos["tfdata_parallel"].sizes
    nothing = predict_gains(None, asked, loop=False, study=study_, runs=runs)
    assert {one.missing for one in nothing.values()} == {"there is no trace of it"}


def test_what_the_budget_ends_is_said_to_be_left_and_resume_goes_on(tmp_path: Path, on: On) -> None:
    # Nine runs of some 21 s, three at a time, two of the search, and the ten seconds of the report.
    made, machine = study(), on(Machine())
    left = carried_out(with_budget(made, 250.0), tmp_path)
    done = [path.name for path, run in load_runs(tmp_path).items() if run.spec.step]
    assert left[-1] == (TUNED, len(done) + 1)
    assert done
    report = write(tmp_path).ranking.search(TUNED)
    assert report is not None
    assert report.following is not None
    assert "The search has not ended: " in (tmp_path / "report.md").read_text()
    assert carried_out(with_budget(made, 3600.0), tmp_path) == []
    planned = [started for started in machine.started if started[1] != TUNED]
    assert len(set(planned)) == len(planned) == 2 * 5 + 1, "nothing twice but the start, for the others' turns"
    steps = [run.spec.step for run in load_runs(tmp_path).values() if run.spec.step]
    assert len(machine.started) - len(planned) == len(steps), "no run of the search twice"
    again = load(tmp_path).ranking.search(TUNED)
    assert again is not None
    # Of so few laps the ranking may leave the largest gain a tie, which a run of the search then shows.
    assert set(again.kept) == {"xla", "large_batch", "mixed_precision"}


def test_where_time_is_short_the_search_comes_before_what_promises_least(tmp_path: Path, on: On) -> None:
    machine = on(Machine())
    left = carried_out(with_budget(study(rounds=1), 30.0 + 10.0 + 7 * 23.0), tmp_path)
    assert TUNED in {strategy for _, strategy, _ in machine.started}, "the search had time kept for it"
    assert left, "and the plan was cut"
    assert load(tmp_path).ranking.search(TUNED) is not None


def test_time_that_the_search_does_not_need_goes_to_the_rest_of_the_plan(tmp_path: Path, on: On) -> None:
    machine = on(Machine(alone=dict.fromkeys(ALONE, 1.0)))
    assert carried_out(with_budget(study(), 340.0), tmp_path) == []
    assert len(machine.started) == 2 * 5 + 1


def test_without_time_for_anything_the_search_is_left_too(tmp_path: Path, on: On) -> None:
    on(Machine())
    left = carried_out(with_budget(study(), 60.0), tmp_path)
    assert left[-1] == (TUNED, 1)
    assert load(tmp_path).ranking.not_run[-1] == TUNED


def test_a_failed_step_is_dropped_and_a_failed_end_is_measured_again(tmp_path: Path, on: On) -> None:
    made = with_budget(study(), 3600.0)
    on(Machine(failing=("xla", "large_batch", "mixed_precision")))
    assert carried_out(made, tmp_path) == []
    ranking = load(tmp_path).ranking
    found = ranking.search(TUNED)
    assert found is not None
    assert found.kept == ("xla", "large_batch")
    assert found.steps[-1].reason == "failed: it broke"
    assert "failed: it broke" in (write(tmp_path).folder / "report.md").read_text()
    assert ranking.failures == (), "what the search dropped is told there"
    before = {path.name: path.stat().st_mtime_ns for path in load_runs(tmp_path)}
    assert carried_out(made, tmp_path) == []
    assert {path.name: path.stat().st_mtime_ns for path in load_runs(tmp_path)} == before, "what it built on stays"


def test_what_fails_in_its_first_call_is_tried_once_and_told_in_one_line(tmp_path: Path, on: On) -> None:
    made, machine = with_budget(study(), 3600.0), on(Machine(unbuildable=("xla",)))
    made = msgspec.structs.replace(made, strategies=made.strategies[:3])
    assert [info.name for info in made.strategies[1:]] == ["xla", "large_batch"]
    assert carried_out(made, tmp_path) == []
    tried = [strategy for _, strategy, _ in machine.started]
    assert (tried.count("xla"), tried.count("large_batch")) == (1, 2)
    (failure,) = load(tmp_path).ranking.failures
    assert (failure.strategy, failure.message) == ("xla", "it cannot be compiled")


def test_a_study_that_combined_once_is_read_as_it_was(tmp_path: Path) -> None:
    made = study()
    save(made, tmp_path / STUDY_FILE)
    for run in [*singles(made), measured(spec(TUNED, 1, 0, ("xla", "large_batch")))]:
        into = tmp_path / "runs" / f"{run.spec.round}-{run.spec.strategy}"
        into.mkdir(parents=True)
        (into / RUN_FILE).write_bytes(to_json(run))
    loaded = load(tmp_path)
    assert loaded.ranking.searches == ()
    assert combined(loaded, TUNED) == Combination(start=BASE, changes=("xla", "large_batch"), step=0)
