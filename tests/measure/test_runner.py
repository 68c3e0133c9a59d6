"""How the runner measures a study: which run is next, who takes turns with whom, and for how long each is timed.

The runs are played, on a clock of their own: no process is started, and nothing rests on how busy the machine is.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from gpuprobe.measure import partners, runner, turns
from gpuprobe.measure.active_run import ActiveRun
from gpuprobe.measure.budget import REPORT_S, TURNS_WINDOW_S
from gpuprobe.measure.host_disturbance import HostDisturbance
from gpuprobe.measure.plan import PlannedRun, next_baseline_run, plan_rounds
from gpuprobe.measure.runner import Runner
from gpuprobe.recording import STUDY_FILE
from gpuprobe.records import Combination, GpuInfo, Outcome, Run, State, StrategyInfo, Study, load
from gpuprobe.simulate import recordings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.records import RunSpec

S = 1_000_000_000
CARD = GpuInfo(index=0, name="Card", memory_mib=4096.0)


@dataclass
class Fate:
    """What becomes of the runs of a strategy: how they end before they are measured, in which turn, their memory."""

    ends: State | None = None
    turns: int = 1000
    device_mib: float | None = None


def name(spec: RunSpec) -> str:
    """Name a run: its strategy, and its round or the step of its search."""
    return f"{spec.strategy} {spec.step or spec.round}"


class PlayedRun(ActiveRun):
    """A run without a process, whose events are what is played."""

    def __init__(self, spec: RunSpec, folder: Path, fate: Fate) -> None:
        super().__init__(spec, folder, cast("Any", SimpleNamespace(pid=1, pids=(1,))), limit_s=60.0)
        self.fate, self.turns = fate, 0

    def play(self, event: str, now_s: float, **about: object) -> None:
        self.progress.take({"event": event, "t_ns": round(now_s * S), **about})


class Played:
    """Stands in for `LiveRuns`, and is the clock: a warm-up takes 5 s, and steps take a tenth of a second and more."""

    def __init__(self, folder: Path, fates: dict[str, Fate]) -> None:
        self.folder, self.fates, self.now_s = folder, fates, 0.0
        self.started: list[RunSpec] = []
        self.alive: list[PlayedRun] = []
        self.laps: dict[int, list[str]] = {}
        self.ended: list[PlayedRun] = []

    def start(self, spec: RunSpec) -> PlayedRun:
        assert name(spec) not in map(name, (run.spec for run in self.alive)), "two in one folder"
        self.started.append(spec)
        fate = self.fates.get(f"{spec.strategy} {spec.round}") or self.fates.get(spec.strategy) or Fate()
        run = PlayedRun(spec, self.folder, fate)
        self.alive.append(run)
        return run

    def wait_until_warm(self, runs: Sequence[PlayedRun]) -> None:
        self.now_s += 5.0 * len(runs)
        for run in runs:
            if run.fate.ends:
                run.outcome = Outcome(state=run.fate.ends)

    def measure(self, run: PlayedRun) -> None:
        if run.outcome is None:
            settings = recordings.settings(device="/device:CPU:0", batch_size=32)
            run.play("settings", self.now_s, settings=msgspec.to_builtins(settings))
            self._timed(run, "window", run.spec.window_s)
            run.play("memory", self.now_s, host_peak_mib=100.0, device_peak_mib=run.fate.device_mib)
            run.play("phase", self.now_s, name="paused")

    def turn(self, run: PlayedRun, lap: int, turn_s: float) -> None:
        self.laps.setdefault(lap, []).append(name(run.spec))
        self._timed(run, "turn", turn_s, lap=lap)
        run.play("phase", self.now_s, name="paused")
        run.turns += 1
        if run.turns == run.fate.turns:
            run.outcome = Outcome(state="killed")

    def end(self, run: PlayedRun) -> None:
        run.outcome = run.outcome or Outcome(state="done")
        self.alive.remove(run)
        self.ended.append(run)

    def save(self, run: PlayedRun) -> None:
        assert run in self.alive

    def _timed(self, run: PlayedRun, phase: str, seconds: float, **about: int) -> None:
        run.play("phase", self.now_s, name=phase, **about)
        # Not quite the same each time, as a machine is.
        lengths = [0.1 + 0.05 * ((len(self.laps) + call) % 7) for call in range(int(seconds / 0.25))]
        ends_s = [self.now_s + sum(lengths[: call + 1]) for call in range(len(lengths))]
        self.now_s += seconds
        run.play("calls", self.now_s, ends_ns=[round(end * S) for end in ends_s])

    @property
    def runs(self) -> list[str]:
        """The runs in the order of their starts."""
        return [name(spec) for spec in self.started]

    @property
    def full(self) -> list[str]:
        """Those of them that had a full window."""
        return [name(spec) for spec in self.started if spec.window_s > TURNS_WINDOW_S]

    def timed_s(self, run: str) -> float:
        """How long the window and the turns of a run took together."""
        (record,) = (ended.record() for ended in self.ended if name(ended.spec) == run)
        timed = [phase for phase in record.phases if phase.name in {"window", "turn"}]
        return sum((phase.end_ns - phase.start_ns) / S for phase in timed)

    @property
    def pairs(self) -> set[frozenset[str]]:
        return {frozenset(members) for members in self.laps.values()}


@dataclass
class Table:
    """A study of these strategies, ready to be carried out by a runner on a played stage."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def carry_out(
        self,
        names: str,
        fates: dict[str, Fate] | None = None,
        *,
        rounds: int = 1,
        gpu: bool = True,
        skipped: Sequence[str] = (),
        done: Sequence[Run] = (),
        budget_s: float = 600.0,
        search: int = 0,
    ) -> tuple[Played, list[PlannedRun]]:
        played = Played(self.folder, fates or {})
        study = self.study(names, rounds=rounds, gpu=gpu, budget_s=budget_s, search=search)
        clock = SimpleNamespace(monotonic=lambda: played.now_s)
        for module in (runner, partners, turns):
            self.monkeypatch.setattr(module, "time", clock)
        self.monkeypatch.setattr(runner, "watching_gpu", lambda _gpu: nullcontext(None))
        self.monkeypatch.setattr(HostDisturbance, "read_counters", lambda *_: None)
        self.monkeypatch.setattr(HostDisturbance, "disturbance", lambda *_: "")
        found = {PlannedRun(run.spec.round, run.spec.strategy) for run in done}
        waiting = [planned for planned in plan_rounds(study, skipped) if planned not in found]
        observer = SimpleNamespace(run_started=lambda *_: None, run_finished=lambda *_: None)
        steps = iter([Combination(start="a", changes=("x",), step=step) for step in range(1, search + 1)])

        def choose(folder: Path, strategy: str) -> Combination | None:
            assert (folder, strategy) == (self.folder, "tuned")
            return next(steps, None)

        made = Runner(study, self.folder, "", cast("Any", played), cast("Any", observer), choose, None, skipped)
        left = made.carry_out(waiting, ["tuned"] if search else [], done)
        assert played.alive == [], "all have ended"
        return played, left

    def study(self, names: str, *, rounds: int, gpu: bool, budget_s: float, search: int) -> Study:
        infos = [StrategyInfo(name=letter, sentence="") for letter in names]
        if search:
            infos.append(StrategyInfo(name="tuned", sentence="", combines=True))
        machine = recordings.environment([CARD] if gpu else [])
        study = recordings.study_record("s", machine, infos, rounds=rounds, batch_size=32, command="")
        recordings.save_study(study, self.folder)
        return msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, budget_s=budget_s))


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    return Table(tmp_path, monkeypatch)


def measured(table: Table, strategy: str, number: int = 1, device_mib: float | None = None) -> Run:
    """The record of a run that was measured before the study stopped."""
    study = table.study(strategy, rounds=1, gpu=True, budget_s=600.0, search=0)
    return Run(
        spec=PlannedRun(number, strategy).spec(study),
        outcome=Outcome(state="done"),
        host_peak_mib=100.0,
        device_peak_mib=device_mib,
    )


def notes(table: Table) -> str:
    return " ".join(load(Study, table.folder / STUDY_FILE).notes)


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize(("rounds", "planned"), [(1, "b 1, c 1, a 2"), (2, "b 1, c 1, a 2, c 2, b 2")])
def test_a_resumed_study_takes_turns_with_the_run_of_the_baseline_that_waits(
    table: Table, gpu: bool, rounds: int, planned: str
) -> None:
    played, left = table.carry_out("abc", rounds=rounds, gpu=gpu, done=[measured(table, "a")])
    assert left == []
    assert played.runs[0] == "a 2"
    assert sorted(played.runs) == sorted(planned.split(", ")), "none twice, and none beyond the plan"
    assert all("a 2" in members for members in played.pairs)


def test_where_the_baselines_process_is_gone_the_run_that_waits_is_next_else_one_more() -> None:
    first, second, third = (PlannedRun(number, "a") for number in (1, 2, 3))
    assert next_baseline_run([PlannedRun(1, "b"), second], [first], "a") == second
    assert next_baseline_run([PlannedRun(1, "b")], [first, third, PlannedRun(9, "b")], "a") == PlannedRun(4, "a")
    assert next_baseline_run([second], [first], "a", alone=[second]) == third, "its folder is taken"
    assert next_baseline_run([], [], "a") == first


def test_an_anchor_that_dies_in_a_turn_is_replaced_by_the_run_that_waits(table: Table) -> None:
    played, left = table.carry_out("abc", {"a 1": Fate(turns=1)}, rounds=2)
    assert left == []
    assert played.runs == ["a 1", "b 1", "a 2", "c 1", "c 2", "b 2"]


def test_a_run_tried_alone_leaves_the_plan_as_it_is(table: Table) -> None:
    played, left = table.carry_out("abc", {"b 1": Fate(ends="out_of_memory")}, rounds=2)
    assert left == []
    assert played.runs == ["a 1", "b 1", "b 1", "a 2", "c 1", "c 2", "b 2"]


def test_a_search_without_anchor_takes_the_run_of_the_baseline_that_waits(table: Table) -> None:
    # There is no time for the last runs of the plan beside what is reserved for the search.
    played, left = table.carry_out("ab", {"a 1": Fate(turns=2)}, rounds=3, search=1, budget_s=60.0)
    assert played.runs == ["a 1", "b 1", "a 2", "tuned 1"], "none twice"
    assert frozenset({"a 2", "tuned 1"}) in played.pairs
    assert PlannedRun(2, "a") not in left


@pytest.mark.parametrize("gpu", [True, False])
def test_where_the_baseline_is_skipped_the_others_take_turns_with_the_next(table: Table, gpu: bool) -> None:
    played, left = table.carry_out("abc", gpu=gpu, skipped=["a"])
    assert left == []
    assert any({"b 1", "c 1"} <= members for members in played.pairs)
    assert played.full == []


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_where_the_baseline_fails_the_others_take_turns_with_the_next(table: Table, gpu: bool, state: State) -> None:
    played, left = table.carry_out("abcde", {"a": Fate(ends=state)}, gpu=gpu)
    assert left == []
    assert sorted(played.runs) == ["a 1", "a 2", "b 1", "c 1", "d 1", "e 1"]
    for other in ("c 1", "d 1", "e 1"):
        assert any({"b 1", other} <= members for members in played.pairs)


def test_a_run_that_can_have_no_partner_has_a_full_window(table: Table) -> None:
    played, _ = table.carry_out("ab", skipped=["a"])
    assert played.runs == played.full == ["b 1"]
    played, _ = table.carry_out("ab", skipped=["a"], rounds=2)
    assert played.runs == played.full == ["b 1", "b 2"], "two runs of one strategy have nothing to compare"
    played, _ = table.carry_out("ab", done=[measured(table, "b"), measured(table, "a", 2)])
    assert played.runs == played.full == ["a 1"], "the others were measured before"


def test_a_run_whose_partners_end_takes_turns_alone(table: Table) -> None:
    played, _ = table.carry_out("ab", {"b": Fate(ends="failed"), "a 2": Fate(ends="killed")})
    assert played.pairs == {frozenset({"a 1"})}
    assert played.timed_s("a 1") > 20.0
    played, _ = table.carry_out("ab", {"a 1": Fate(turns=1), "a 2": Fate(ends="killed")})
    assert played.timed_s("b 1") > 20.0


def test_runs_of_which_two_do_not_fit_have_their_full_time_from_the_first_on(table: Table) -> None:
    played, left = table.carry_out("abc", {"a": Fate(device_mib=2500.0)})
    assert left == []
    assert played.full == ["b 1", "a 2", "c 1"]
    assert played.pairs == {frozenset({"a 1"})}, "none takes turns with another"
    assert played.timed_s("a 1") > 20.0, "turns alone make up for the short window"
    assert "not fit into the GPU's memory" in notes(table)


def test_runs_that_are_alive_take_turns_though_no_others_will(table: Table) -> None:
    played, _ = table.carry_out("abc", {"b": Fate(device_mib=2500.0)})
    assert played.pairs == {frozenset({"a 1", "b 1"})}
    assert played.full == ["a 2", "c 1"]
    assert "Not all runs took turns" in notes(table)


def test_a_resumed_study_knows_that_two_runs_do_not_fit(table: Table) -> None:
    played, _ = table.carry_out("abc", done=[measured(table, "a", device_mib=2500.0)])
    assert played.runs == played.full == ["b 1", "a 2", "c 1"]
    assert "not fit into the GPU's memory" in notes(table)


@pytest.mark.parametrize("budget_s", range(60, 160, 7))
@pytest.mark.parametrize("search", [0, 1])
@pytest.mark.parametrize("dies_in_turn", [1000, 6])
def test_no_more_runs_begin_than_there_is_time_for(table: Table, budget_s: int, search: int, dies_in_turn: int) -> None:
    fates = {"a": Fate(turns=dies_in_turn)}
    played, left = table.carry_out("abcdef", fates, gpu=False, budget_s=float(budget_s), search=search)
    assert played.now_s <= budget_s, played.runs
    assert len(played.runs) == len(set(played.runs))
    assert not {PlannedRun(spec.round, spec.strategy, spec.step) for spec in played.started} & set(left)


@pytest.mark.parametrize("budget_s", range(30, 70))
def test_a_search_that_needs_a_new_anchor_has_time_for_two(table: Table, budget_s: int) -> None:
    played, _ = table.carry_out("ab", {"a": Fate(turns=2)}, rounds=3, search=3, budget_s=float(budget_s))
    lap_s = 2.0
    assert played.now_s <= max(budget_s - REPORT_S + lap_s, 15.0), played.runs


def test_a_run_beyond_the_plan_begins_only_beside_another(table: Table) -> None:
    for budget_s in range(60, 160, 3):
        played, _ = table.carry_out("abcdef", {"a": Fate(turns=1)}, budget_s=float(budget_s))
        assert played.runs[-1][0] != "a" or int(played.runs[-1][2:]) <= 2, played.runs
