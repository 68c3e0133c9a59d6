"""The pure parts of the measuring: what comes next, how time is shared, what a run's events tell."""

from __future__ import annotations

import math
import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import UsageError
from gpuprobe.measure import faults, folder
from gpuprobe.measure.active_run import outcome_of
from gpuprobe.measure.budget import LONGEST_QUICK_WINDOW_S, LONGEST_WINDOW_S, SHORTEST_WINDOW_S, Budget
from gpuprobe.measure.event_log import EVENTS_FILE, EventLog, EventReader
from gpuprobe.measure.losses import MAX_POINTS, loss_points
from gpuprobe.measure.plan import plan_rounds
from gpuprobe.measure.run_in_progress import RunInProgress, run_of_events
from gpuprobe.measure.run_phases import Action, RunPhases
from gpuprobe.records import Outcome, Run, RunSpec, load, save
from gpuprobe.workloads.workload import Workload
from tests.helpers.studies import SimulatedStrategy, simulate_study

S = 1_000_000_000


def spec(**changes: object) -> RunSpec:
    return RunSpec(**{"strategy": "numpy", "round": 1, "seed": 0, "batch_size": 32, **changes})  # type: ignore[arg-type]


class Session:
    """Plays calls of given lengths to a conductor, and notes where each phase began."""

    def __init__(
        self,
        asked: RunSpec,
        steps_per_call: int = 1,
        *,
        trace: bool = True,
        epoch_calls: int = 0,
        told: int | None = None,
    ) -> None:
        self.conductor = RunPhases(asked, steps_per_call, trace, epoch_calls=told)
        self.epoch_calls, self.traced = epoch_calls, list[int]()
        self.now_ns, self.calls, self.begun = 0, 0, {"warmup": 0}

    def call(self, seconds: float) -> Action:
        if self.epoch_calls and self.calls % self.epoch_calls == 0:
            self.conductor.epoch_began()
        self.now_ns += round(seconds * S)
        self.calls += 1
        if self.begun.get("trace"):
            self.traced.append(self.calls)
        action = self.conductor.after_call(self.now_ns)
        if action is Action.HOLD:
            self.begun["settle"] = self.calls
            self.conductor.settling_started(self.now_ns)
        elif action is Action.START_WINDOW:
            self.begun["window"] = self.calls
            self.conductor.window_started(self.now_ns)
        elif action is Action.START_TRACE or (action is Action.END_WINDOW and self.conductor.may_trace):
            self.begun["trace"] = self.calls
            self.conductor.trace_started(self.now_ns)
        return action

    def until(self, wanted: Action, seconds: float = 0.1, at_most: int = 10_000) -> int:
        for count in range(1, at_most + 1):
            if self.call(seconds) is wanted:
                return count
        raise AssertionError(f"{wanted} never came")


def test_the_first_call_is_held_and_slow_ones_after_it_are_not_steady() -> None:
    session = Session(spec(window_s=100.0))
    assert session.call(9.0) is Action.HOLD
    assert [session.call(seconds) for seconds in (2.0, 0.1, 0.1)] == [Action.GO_ON] * 3
    assert session.call(0.1) is Action.START_WINDOW


def test_a_machine_that_is_never_steady_settles_all_the_same() -> None:
    session = Session(spec(window_s=10.0))
    session.call(1.0)
    lengths = [0.2, 1.0] * 20
    actions = [session.call(seconds) for seconds in lengths]
    assert Action.START_WINDOW in actions


def test_the_window_ends_after_its_time_or_its_steps() -> None:
    timed = Session(spec(window_s=5.0, window_min_s=5.0))
    timed.until(Action.START_WINDOW)
    assert timed.until(Action.END_WINDOW) == 50
    counted = Session(spec(steps=24), steps_per_call=8)
    counted.until(Action.START_WINDOW)
    assert counted.until(Action.END_WINDOW) == 3
    untraced = Session(spec(steps=4), trace=False)
    untraced.until(Action.START_WINDOW)
    assert untraced.until(Action.PAUSE) == 4


def test_a_precise_window_ends_early_and_a_noisy_one_does_not() -> None:
    precise = Session(spec(window_s=60.0, window_min_s=2.0))
    precise.until(Action.START_WINDOW)
    assert precise.until(Action.END_WINDOW, at_most=30) <= 30
    noisy = Session(spec(window_s=60.0, window_min_s=2.0))
    noisy.until(Action.START_WINDOW)
    lengths = random.Random(1)
    for _ in range(200):
        assert noisy.call(lengths.lognormvariate(-2, 1)) is Action.GO_ON


def test_slow_steps_do_not_eat_the_study() -> None:
    session = Session(spec(window_s=3.0, trace_steps=4))
    session.until(Action.PAUSE, seconds=4.0, at_most=20)
    assert session.calls <= 8


@pytest.mark.parametrize(("seconds", "calls"), [(0.001, 20), (0.02, 10), (0.03, 7), (0.1, 5), (0.5, 5)])
def test_short_steps_are_traced_more_often(seconds: float, calls: int) -> None:
    session = Session(spec(steps=3, trace_steps=4))
    session.until(Action.PAUSE, seconds=seconds)
    assert len(session.traced) == calls


@pytest.mark.parametrize("steps", [3, 4, 5, 6, 7, 8, 9, 30])
@pytest.mark.parametrize("epoch_calls", [3, 4, 7, 8, 12])
@pytest.mark.parametrize("is_told", [True, False])
def test_no_epoch_ends_within_the_traced_steps(steps: int, epoch_calls: int, is_told: bool) -> None:
    session = Session(spec(steps=steps, trace_steps=4), epoch_calls=epoch_calls, told=epoch_calls if is_told else None)
    session.until(Action.END_WINDOW)
    assert session.calls - session.begun["window"] == steps
    session.until(Action.PAUSE, at_most=2 * epoch_calls + 1)
    known = is_told or session.begun["trace"] > epoch_calls
    assert len({(call - 1) // epoch_calls for call in session.traced}) == 1 or not known
    assert len(session.traced) >= min(5, epoch_calls) or not known


@pytest.mark.parametrize("epoch_calls", [1, 2])
def test_where_every_step_or_two_ends_an_epoch_that_is_what_is_traced(epoch_calls: int) -> None:
    session = Session(spec(steps=3, trace_steps=4), epoch_calls=epoch_calls, told=epoch_calls)
    session.until(Action.PAUSE)
    assert len(session.traced) >= 3


@given(st.lists(st.floats(1e-4, 5.0), min_size=1, max_size=300))
def test_every_session_ends_its_phases_in_order(lengths: list[float]) -> None:
    session = Session(spec(window_s=2.0, window_min_s=1.0))
    for seconds in lengths:
        if session.call(seconds) is Action.PAUSE:
            break
    assert list(session.begun.values()) == sorted(session.begun.values())


def test_budget_shares_time_and_learns() -> None:
    budget = Budget(total_s=300.0, start_s=0.0)
    assert SHORTEST_WINDOW_S <= budget.window_s(0.0, 12) <= LONGEST_WINDOW_S
    for _ in range(3):
        budget.learn(12.0)
    assert budget.window_s(30.0, 10) == pytest.approx((300 - 10 - 30 - 12) / 10 - 12)
    assert budget.window_s(30.0, 5, sharing=2) == pytest.approx((300 - 10 - 30 - 24) / 5 - 24), "as two side by side"
    budget.learn(15.0, sharing=2)
    assert budget.window_s(30.0, 5, sharing=2) == pytest.approx((300 - 10 - 30 - 15) / 5 - 15), "as one was alone"
    assert budget.allows(270.0, 1)
    assert not budget.allows(276.0, 1)
    assert Budget(280.0, 0.0, LONGEST_QUICK_WINDOW_S).window_s(0.0, 2) == LONGEST_QUICK_WINDOW_S
    assert Budget(total_s=1.0, start_s=0.0).allows(0.0, 1), "the first run is always allowed"


def test_time_is_needed_for_the_windows_of_all_runs() -> None:
    budget = Budget(total_s=110.0, start_s=0.0, shortest_window_s=8.0)
    budget.learn(12.0)
    assert budget.allows(100.0 - 60.0, 3)
    assert not budget.allows(100.0 - 59.0, 3), "three runs of 12 s and 8 s each"
    assert budget.allows(100.0 - 40.0, 1, alone=1)
    assert not budget.allows(100.0 - 39.0, 1, alone=1)


def test_losses_of_stretches_follow_from_running_means() -> None:
    found = loss_points([(32, 32, 3.0), (64, 64, 2.5), (96, 32, 1.0)])
    assert [(point.samples, point.loss) for point in found] == [(32, 3.0), (64, 2.0), (96, 1.0)]


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=700), st.integers(1, 64))
def test_losses_keep_their_mean_and_their_bound(losses: list[float], batch: int) -> None:
    running, means = 0.0, []
    for place, loss in enumerate(losses, start=1):
        running += loss
        means.append((place * batch, place * batch, running / place))
    found = loss_points(means)
    assert len(found) <= MAX_POINTS
    assert found[-1].samples == len(losses) * batch
    if len(losses) <= MAX_POINTS:
        assert sum(point.loss or 0.0 for point in found) == pytest.approx(sum(losses), rel=1e-6)


def test_a_loss_that_is_no_finite_number_is_read_back_as_such(tmp_path: Path) -> None:
    found = loss_points([(32, 32, 3.0), (64, 64, math.nan), (96, 96, math.nan), (128, 32, math.inf), (160, 32, 1.0)])
    assert [point.loss for point in found] == [3.0, None, None, None, 1.0]
    log = EventLog(tmp_path)
    log.write("losses", points=found)
    log.close()
    save(run_of_events(tmp_path, spec(), Outcome(state="done")), tmp_path / "run.json")
    assert load(Run, tmp_path / "run.json").losses == tuple(found)


def test_events_fold_into_the_run_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.write("phase", 10, name="warmup")
    log.write("calls", 20, ends_ns=[15, 20])
    log.write("phase", 30, name="window")
    log.write("something new", 35)
    log.write("calls", 40, ends_ns=[33, 40])
    with (tmp_path / EVENTS_FILE).open("ab") as file:
        file.write(b'garbage\n{"event": "calls", "t_ns": 50, "ends_')
    run = run_of_events(tmp_path, spec(), Outcome(state="killed"))
    assert [(p.name, p.start_ns, p.end_ns, p.call_ends_ns) for p in run.phases] == [
        ("warmup", 10, 30, (15, 20)),
        ("window", 30, 40, (33, 40)),
    ]


def test_events_are_read_once_as_they_grow(tmp_path: Path) -> None:
    reader = EventReader(tmp_path)
    assert list(reader.new()) == []
    log = EventLog(tmp_path)
    log.write("note", text="a")
    assert [event["text"] for event in reader.new()] == ["a"]
    log.write("note", text="b")
    assert [event["text"] for event in reader.new()] == ["b"]


@pytest.mark.parametrize(
    ("done", "code", "state"),
    [(True, 0, "done"), (False, 0, "failed"), (True, 3, "failed"), (False, -signal.SIGKILL, "killed")],
)
def test_how_a_run_ended(done: bool, code: int, state: str) -> None:
    progress = RunInProgress(spec(), done=done)
    assert outcome_of(progress, code).state == state


def test_rounds_are_interleaved_and_reversed_and_one_round_has_a_control(tmp_path: Path) -> None:
    strategies = [SimulatedStrategy(name=name, step_ms=10.0) for name in ("a", "b", "c")]
    two = simulate_study(tmp_path, strategies, rounds=2, window_s=0.1)
    assert [(planned.round, planned.strategy) for planned in plan_rounds(two)] == [
        (1, "a"), (1, "b"), (1, "c"), (2, "a"), (2, "c"), (2, "b")
    ]  # fmt: skip
    (tmp_path / "one").mkdir()
    one = simulate_study(tmp_path / "one", strategies, rounds=1, window_s=0.1)
    assert [(planned.round, planned.strategy) for planned in plan_rounds(one)][-2:] == [(2, "a"), (1, "c")]


def test_faults_are_known_by_name() -> None:
    assert faults.parse(["slow_map=0.01", "raise@xla"]) == (("slow_map", "0.01", None), ("raise", "", "xla"))
    with pytest.raises(UsageError, match="no fault 'nonsense'"):
        faults.parse(["nonsense=1"])


def test_a_slow_step_sleeps_for_a_fraction_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, slept_s = [0.0], list[float]()
    clock = SimpleNamespace(perf_counter=lambda: now_s[0], sleep=slept_s.append)
    monkeypatch.setattr(faults, "time", clock)
    model: Any = SimpleNamespace(compiled=True, train_function=None)

    def make(force: bool = False) -> None:
        del force

        def call(iterator: object) -> object:
            now_s[0] += 2.0
            return iterator

        model.train_function = call

    model.make_train_function = make
    slowed = faults.inject(spec(inject=("slow_step=0.05@numpy",)), Workload(model=lambda: model, data=()))
    slowed.compile(model, jit_compile=False, steps_per_execution=1)
    model.make_train_function()
    model.make_train_function()
    assert model.train_function("logs") == "logs"
    assert slept_s == [pytest.approx(0.1)], "once, however often Keras asks for the function"


def test_a_folder_is_numbered_where_the_name_is_taken_and_held_by_one(tmp_path: Path) -> None:
    first, second = folder.make(tmp_path, "s"), folder.make(tmp_path, "s")
    assert (first.name, second.name) == ("s", "s-2")
