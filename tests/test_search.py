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

from gpuprobe.measure import study as measure
from gpuprobe.measure.events import EventLog
from gpuprobe.ranking.choose import by_predicted_gain, combined, following
from gpuprobe.ranking.foretell import most_promising
from gpuprobe.ranking.load import load
from gpuprobe.ranking.rank import rank
from gpuprobe.ranking.search import order, search
from gpuprobe.recording import RUN_FILE, SPEC_FILE, STUDY_FILE, load_runs, load_study
from gpuprobe.records import LossPoint, Outcome, Phase, Run, RunSpec, State, StrategyInfo, Study, save, to_json
from gpuprobe.report.story import ending
from gpuprobe.report.write import write
from gpuprobe.simulate import demo, recordings
from gpuprobe.simulate.sessions import Member, StudyInProgress
from gpuprobe.strategies.registry import strategies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

    from gpuprobe.ranking.ranking import Search
    from gpuprobe.records import Settings

BASE, TUNED = "tfdata_cache_prefetch", "tuned"
# What each change gains by itself; in the truth of a machine the pairs say what is left of it on top of another.
ALONE = {"xla": 1.6, "large_batch": 1.4, "mixed_precision": 1.3, "steps_per_execution": 1.01}
CALLS, SPREAD = 80, 0.02


def plain_settings() -> Settings:
    return recordings.settings(device="/device:CPU:0", batch_size=32)


def study(rounds: int = 2, search_steps: int | None = None, alone: Mapping[str, float] = ALONE) -> Study:
    infos = [StrategyInfo(name=BASE, sentence="The start.")]
    infos += [StrategyInfo(name=name, sentence="One.", against=BASE, change=name) for name in alone]
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
) -> Run:
    """The made measurement: steps of 10 ms at the start, faster by the truth, with a little noise of each run."""
    random = np.random.default_rng([spec.round, spec.step, len(spec.strategy), *map(len, spec.combines)])
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


def replay(made: Study, runs: Sequence[Run]) -> Search:
    alone = [run for run in runs if not run.spec.step]
    return search(made.strategies[-1], rank(made, alone, {}), runs, made.request.search_steps)


def explore(made: Study, runs: list[Run], **truth: object) -> Iterator[Search]:
    """Measure what the search asks for until it has ended; give each state of it."""
    while True:
        found = replay(made, runs)
        yield found
        if found.following is None:
            return
        step = 1 + max(run.spec.step for run in runs)
        runs.append(measured(spec(TUNED, made.request.rounds, step, found.following), **truth))  # type: ignore[arg-type]


def path(found: Search) -> list[tuple[str, bool]]:
    return [(step.change, step.kept) for step in found.steps]


def test_changes_are_tried_upon_each_other_in_the_order_of_their_gain() -> None:
    made = study()
    states = list(explore(made, singles(made)))
    assert [state.following for state in states] == [
        ("xla", "large_batch"), ("xla", "large_batch", "mixed_precision"), None
    ]  # fmt: skip
    found = states[-1]
    assert path(found) == [("xla", True), ("large_batch", True), ("mixed_precision", True)]
    assert found.kept == ("xla", "large_batch", "mixed_precision")
    assert found.measured == 2
    for step in found.steps:
        assert step.gain is not None
        assert step.gain.low <= ALONE[step.change] <= step.gain.high
    for step in found.steps[1:]:
        assert step.predicted is not None
        assert step.predicted.value == pytest.approx(ALONE[step.change], rel=0.03)
        assert step.reason == "faster beyond the noise"


def test_a_change_that_gains_nothing_upon_another_is_dropped_and_the_next_builds_without_it() -> None:
    made = study()
    # Fused kernels leave nothing for the larger batch to gain.
    *_, found = explore(made, singles(made), pairs={frozenset({"xla", "large_batch"}): 1 / 1.4})
    assert path(found) == [("xla", True), ("large_batch", False), ("mixed_precision", True)]
    assert found.steps[1].reason == "no gain beyond the noise"
    assert found.steps[2].combines == found.kept == ("xla", "mixed_precision")
    *_, slower = explore(made, singles(made), pairs={frozenset({"xla", "large_batch"}): 0.5})
    assert slower.steps[1].reason == "slower"


def test_where_nothing_gains_by_itself_the_start_is_measured_once_and_that_is_all() -> None:
    none = dict.fromkeys(ALONE, 1.0)
    made = study(alone=none)
    states = list(explore(made, singles(made, none)))
    assert [state.following for state in states] == [(), None]
    assert states[-1].steps == ()
    assert (states[-1].kept, states[-1].measured) == ((), 1)


def test_where_every_step_is_dropped_the_first_change_is_measured_in_the_end() -> None:
    two = {"xla": 1.6, "large_batch": 1.4}
    made = study(alone=two)
    states = list(explore(made, singles(made, two), pairs={frozenset(two): 1 / 1.4}))
    assert [state.following for state in states] == [("xla", "large_batch"), ("xla",), None]
    assert path(states[-1]) == [("xla", True), ("large_batch", False)]
    assert (states[-1].kept, states[-1].measured) == (("xla",), 2)


def test_a_loss_that_leaves_the_band_and_a_step_that_fails_are_dropped() -> None:
    made = study()
    runs = [*singles(made), measured(spec(TUNED, 2, 1, ("xla", "large_batch")), loss_offset=1.5)]
    assert "above the others'" in replay(made, runs).steps[1].reason
    assert replay(made, runs).following == ("xla", "mixed_precision")
    runs.append(measured(spec(TUNED, 2, 2, ("xla", "mixed_precision")), state="out_of_memory"))
    found = replay(made, runs)
    assert found.steps[2].reason == "out of memory: the device ran out"
    assert found.following == ("xla",)


def test_a_candidate_with_another_loss_is_not_tried() -> None:
    made = study()
    runs = [r if r.spec.strategy != "xla" else measured(r.spec, loss_offset=1.5) for r in singles(made)]
    *_, found = explore(made, runs)
    assert [step.change for step in found.steps] == ["large_batch", "mixed_precision"]


def test_it_tries_at_most_so_many_and_says_what_is_left() -> None:
    made = study(search_steps=1)
    *_, found = explore(made, singles(made))
    assert (found.kept, found.left, found.following) == (("xla", "large_batch"), ("mixed_precision",), None)
    assert "has 1 step at most after the first" in ending(found)


def test_one_that_was_stopped_is_measured_again_and_what_was_kept_stays_kept() -> None:
    made = study()
    runs = singles(made)
    alone = len(runs)
    states = list(explore(made, runs))
    for count, state in enumerate(states):
        cut = runs[: alone + count]
        assert replay(made, cut) == state
        stopped = measured(spec(TUNED, 2, count + 1, ("xla", "large_batch")), state="interrupted")
        assert replay(made, [*cut, stopped]) == state
    # The second step builds on the first: that was kept, whatever is known later.
    slow = measured(runs[alone].spec, alone={"xla": 1.6})
    changed = replay(made, [*runs[:alone], slow, *runs[alone + 1 :]])
    assert path(changed)[1] == ("large_batch", True)
    assert "when it was measured" in changed.steps[1].reason


def test_the_first_change_stays_the_first_when_another_is_measured_later() -> None:
    made = study()
    runs = [run for run in singles(made) if run.spec.strategy != "xla"]
    *_, found = explore(made, runs)
    assert found.kept == ("large_batch", "mixed_precision")
    late = [run for run in singles(made) if run.spec.strategy == "xla"]
    *_, found = explore(made, [*runs, *late])
    assert path(found) == [("large_batch", True), ("mixed_precision", True), ("xla", True)]


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
    assert found.measured is not None
    ranking = rank(made, [run for run in runs if not run.spec.step], {})
    assert tried == order(tried, ranking)


class Machine:
    """Stands in for the processes and the clock of a study: every run takes 20 s beside its window."""

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.now_s, self.failing = 0.0, failing
        self.started: list[tuple[int, str, tuple[str, ...]]] = []

    def __call__(self) -> Machine:
        return self

    def start(self, folder: Path, asked: RunSpec) -> SimpleNamespace:
        self.started.append((asked.round, asked.strategy, asked.combines))
        self.now_s += 20.0
        save(asked, folder / SPEC_FILE)
        log, run = EventLog(folder), measured(asked)
        log.write("phase", 1, name="held")
        log.write("settings", 1, settings=msgspec.to_builtins(run.settings))
        log.write("phase", 1, name="window")
        log.write("calls", run.phases[0].end_ns, ends_ns=run.phases[0].call_ends_ns)
        log.write("losses", run.phases[0].end_ns, points=msgspec.to_builtins(run.losses))
        failed = asked.combines == self.failing != ()
        log.write("error", 2, state="failed", message="it broke") if failed else log.write("done", 2)
        return SimpleNamespace(pid=1, exit_code=lambda: int(failed), kill=lambda: None)

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
        monkeypatch.setattr(measure, "time", machine)
        monkeypatch.setattr(measure, "telemetry", SimpleNamespace(sampling=lambda *_: nullcontext()))
        return machine

    return install


def carried_out(made: Study, folder: Path) -> list[tuple[str, int]]:
    save(made, folder / STUDY_FILE)
    return [(left.strategy, left.step) for left in measure.carry_out(made, folder, None, Quiet(), following)]


def with_budget(made: Study, budget_s: float) -> Study:
    return msgspec.structs.replace(made, request=msgspec.structs.replace(made.request, budget_s=budget_s))


def test_a_study_searches_after_all_else_and_the_report_tells_the_path(tmp_path: Path, on: On) -> None:
    made, machine = with_budget(study(), 3600.0), on(Machine())
    assert carried_out(made, tmp_path) == []
    assert len(machine.started) == 2 * 5 + 2
    assert [combines for _, _, combines in machine.started[-2:]] == [
        ("xla", "large_batch"), ("xla", "large_batch", "mixed_precision")
    ]  # fmt: skip
    assert {path.name for path in load_runs(tmp_path)} >= {"2-tuned-1", "2-tuned-2"}
    loaded = write(tmp_path)
    row = loaded.ranking.row(TUNED)
    assert row is not None
    assert row.combines == combined(loaded, TUNED) == ("xla", "large_batch", "mixed_precision")
    assert row.gain is not None
    assert row.gain.low <= 1.6 * 1.4 * 1.3 <= row.gain.high
    assert [run.spec.step for run in loaded.runs.values() if run.spec.strategy == TUNED] == [2]
    text = (tmp_path / "report.md").read_text()
    section = text[text.index("## How tuned was found") :]
    lines = section.splitlines()
    first, last = (next(line for line in lines if line.startswith(start)) for start in ("| 0 | `xla`", "| 2 | `mixed"))
    assert lines.index(first) < lines.index(last)
    assert "| 1.3" in last
    assert section.count("kept: faster beyond the noise |") == 2
    assert "Kept: `xla`, `large_batch` and `mixed_precision` on top of `tfdata_cache_prefetch`." in section
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

    def order(_: Path, strategies: Sequence[str]) -> list[str] | None:
        nonlocal asked
        asked += 1
        # Before the baseline has a trace nothing can be told.
        return None if asked == 1 else [name for name in promising if name in strategies]

    made, machine = with_budget(study(), 3600.0), on(Machine())
    save(made, tmp_path / STUDY_FILE)
    assert measure.carry_out(made, tmp_path, None, Quiet(), following, order) == []
    assert asked == 2, "asked until there is an answer, and no more"
    rounds = [(number, name) for number, name, combines in machine.started if not combines]
    # Three warm up side by side before the first of them has told anything.
    assert [name for number, name in rounds if number == 1] == [BASE, "xla", "large_batch", *promising[3:]]
    assert [name for number, name in rounds if number == 2] == promising[::-1]


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


def test_the_trace_of_what_was_kept_tells_what_is_tried_on_top(tmp_path: Path) -> None:
    infos = [one.info for one in strategies().values() if one.info.name in {BASE, *ALONE, TUNED}]
    infos = [msgspec.structs.replace(infos[0], against=None), *infos[1:]]
    sessions = demo.specs([one.info for one in strategies().values()])
    made = StudyInProgress(tmp_path, infos, demo.BASELINE, rounds=1, command="test")
    for info in infos[:-1]:
        made.measure(Member(info=info, spec=msgspec.structs.replace(sessions[info.name], name=info.name)))
    found = load(tmp_path, traces=False).ranking.search(TUNED)
    assert found is not None
    assert found.kept == ("large_batch",)
    assert set(found.left) == {"xla", "steps_per_execution"}
    turned = msgspec.structs.replace(found, left=("steps_per_execution", "xla"))
    runs = load_runs(tmp_path)
    assert most_promising(turned, load_study(tmp_path), runs) == "xla", "large kernels still leave gaps that XLA closes"
    assert following(tmp_path, TUNED) == ("large_batch", "xla")
    untraced = {path: msgspec.structs.replace(run, trace=None) for path, run in runs.items()}
    assert most_promising(turned, load_study(tmp_path), untraced) == "steps_per_execution", "as they gained alone"


def test_what_the_budget_ends_is_said_to_be_left_and_resume_goes_on(tmp_path: Path, on: On) -> None:
    # Ten runs of some 21 s each, one step more, and the ten seconds of the report.
    made, machine = study(), on(Machine())
    left = carried_out(with_budget(made, 10 * 22.0 + 22.0 + 30.0), tmp_path)
    done = [path.name for path, run in load_runs(tmp_path).items() if run.spec.step]
    assert left == [(TUNED, len(done) + 1)]
    assert len(done) == 1
    report = write(tmp_path).ranking.search(TUNED)
    assert report is not None
    assert report.left[-1] == "mixed_precision"
    assert "Not measured yet: " in (tmp_path / "report.md").read_text()
    before = len(machine.started)
    assert carried_out(with_budget(made, 3600.0), tmp_path) == []
    assert len(machine.started) - before == 2 - len(done)
    again = load(tmp_path).ranking.search(TUNED)
    assert again is not None
    assert again.kept == ("xla", "large_batch", "mixed_precision")


def test_without_time_for_the_plan_the_search_is_left_too(tmp_path: Path, on: On) -> None:
    on(Machine())
    left = carried_out(with_budget(study(), 120.0), tmp_path)
    assert left[-1] == (TUNED, 0)
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
    assert ranking.failures == (), "what the search dropped is told there"
    mended = on(Machine())
    assert carried_out(made, tmp_path) == []
    assert [combines for _, _, combines in mended.started] == [("xla", "large_batch", "mixed_precision")]


def test_a_study_that_combined_once_is_read_as_it_was_and_not_searched_again(tmp_path: Path) -> None:
    made = study()
    save(made, tmp_path / STUDY_FILE)
    for run in [*singles(made), measured(spec(TUNED, 1, 0, ("xla", "large_batch")))]:
        into = tmp_path / "runs" / f"{run.spec.round}-{run.spec.strategy}"
        into.mkdir(parents=True)
        (into / RUN_FILE).write_bytes(to_json(run))
    loaded = load(tmp_path)
    assert loaded.ranking.searches == ()
    assert following(tmp_path, TUNED) is None
    assert combined(loaded, TUNED) == ("xla", "large_batch")
