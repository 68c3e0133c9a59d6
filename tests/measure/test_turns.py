"""Runs that take turns: the gate, the order of the laps, what ends and what disturbs them, and what a crash leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest

from gpuprobe.blocks import BLOCKS
from gpuprobe.evidence.whole_run import PLANNED
from gpuprobe.measure import folder, turns
from gpuprobe.measure.active_run import ActiveRun
from gpuprobe.measure.event_log import EVENTS_FILE, EventLog, EventReader
from gpuprobe.measure.gate import Command, Gate, send_command
from gpuprobe.measure.host_disturbance import Counters, HostDisturbance
from gpuprobe.measure.memory_fit import MemoryFit
from gpuprobe.measure.plan import PlannedRun, reordered
from gpuprobe.measure.run_phases import REFILL_STEPS, Action, RunPhases
from gpuprobe.measure.turns import FEWEST_DECIDING, FEWEST_LAPS, TURN_S, Turns
from gpuprobe.paired.links import Process
from gpuprobe.ranking.comparisons import Comparisons
from gpuprobe.ranking.lap_rates import lap_rates
from gpuprobe.recording import RUN_FILE, SPEC_FILE, run_folder
from gpuprobe.records import GpuInfo, Outcome, Phase, PhaseName, Run, RunSpec, load, save
from gpuprobe.simulate import recordings
from tests.helpers.laps import SETTINGS, S, ends, timed
from tests.helpers.waiting import until


def spec(strategy: str = "a", number: int = 1) -> RunSpec:
    return RunSpec(strategy=strategy, round=number, seed=0, batch_size=32)


def test_a_gate_lets_each_command_through_once(tmp_path: Path) -> None:
    gate, passed = Gate(tmp_path), list[Command]()
    threading.Thread(target=lambda: passed.extend(gate.wait() for _ in range(2)), daemon=True).start()
    time.sleep(0.1)
    assert passed == []
    for command in (Command(number=1), Command(number=2, lap=3, turn_s=1.5)):
        send_command(tmp_path, command)
        time.sleep(0.1)
        until(lambda: bool(passed) and passed[-1] == command)  # noqa: B023
    assert passed[1].lap == 3


def test_a_turn_trains_off_what_was_made_ahead_and_then_counts() -> None:
    conductor = RunPhases(spec(), 1, trace=False)
    conductor.refill_started(0, refill_s=0.35, turn_s=1.0)
    actions = [conductor.after_call(round(0.1 * call * S)) for call in range(1, 5)]
    assert actions == [Action.GO_ON] * 3 + [Action.START_TURN]
    conductor.turn_started(0)
    counted = [conductor.after_call(round(0.3 * call * S)) for call in range(1, 5)]
    assert counted == [Action.GO_ON] * 3 + [Action.PAUSE]
    conductor.refill_started(0, refill_s=0.0, turn_s=0.1)
    assert [conductor.after_call(call * S) for call in range(1, 1 + REFILL_STEPS)][-1] is Action.START_TURN
    conductor.turn_started(0)
    slow = [conductor.after_call(call * S) for call in range(1, 4)]
    assert slow == [Action.GO_ON, Action.GO_ON, Action.PAUSE], "a turn of fewer calls tells nothing"


class Spinner:
    """A process that only spins; it knows no gate."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
        self.pid = self._process.pid
        self.pids = (self.pid,)

    def outcome(self) -> None:
        return None

    def hint(self) -> str:
        return ""

    def exit_code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        from gpuprobe import child

        child.freeze_session(self.pid)

    def thaw(self) -> None:
        from gpuprobe import child

        child.thaw_session(self.pid)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_run_at_its_gate_has_no_processor(tmp_path: Path) -> None:
    worker = Spinner()
    run = ActiveRun(spec(), tmp_path, worker, limit_s=60.0)
    log = EventLog(tmp_path)
    try:
        log.write("phase", name="warmup")
        run.poll()
        assert not run.waits_at_gate
        log.write("phase", name="held")
        run.poll()
        assert run.waits_at_gate
        time.sleep(0.1)
        before = cpu_s(worker.pid)
        time.sleep(0.5)
        assert cpu_s(worker.pid) == before
        run.go()
        assert not run.waits_at_gate
        until(lambda: cpu_s(worker.pid) > before)
        assert Gate(tmp_path).wait() == Command(number=1)
        log.write("phase", name="window")
        log.write("phase", name="paused")
        run.poll()
        assert run.waits_at_gate
        assert run.is_measured
        worker.kill()
        run.poll()
        assert run.outcome is not None
        assert run.outcome.state == "killed"
        assert run.record().is_measured, "what it measured before counts"
    finally:
        worker.kill()


@pytest.mark.parametrize(("limit_s", "state"), [(60.0, "interrupted"), (0.0, "timeout")])
def test_what_a_run_wrote_just_before_it_is_killed_counts(tmp_path: Path, limit_s: float, state: str) -> None:
    log, calls = EventLog(tmp_path), [1 * S, 2 * S, 3 * S]

    def write_and_die() -> None:
        log.write("calls", t_ns=calls[-1], ends_ns=calls)

    worker = SimpleNamespace(
        pid=1, exit_code=lambda: None, outcome=lambda: None, hint=lambda: "", kill=write_and_die, thaw=lambda: None
    )
    run = ActiveRun(spec(), tmp_path, cast("Any", worker), limit_s)
    log.write("phase", t_ns=0, name="window")
    run.poll()
    if limit_s:
        run.kill()
    else:
        run.poll()
    (window,) = run.record().phases
    assert list(window.call_ends_ns) == calls
    assert run.outcome is not None
    assert run.outcome.state == state


class Played:
    """A run whose turns go at a pace of its own, of a worker that was never started."""

    def __init__(self, name: str, steps_per_s: float, lives: int = 1000) -> None:
        self.spec, self.worker = spec(name), SimpleNamespace(pid=1, pids=(1,))
        self.outcome: Outcome | None = None
        self.steps_per_s, self.lives, self.marks = steps_per_s, lives, list[int]()
        self.progress = SimpleNamespace(settings=SETTINGS, last_timed=None)
        self.steps_of_a_turn = 10

    def disturbed(self, lap: int, words: str) -> None:
        assert words
        self.marks.append(lap)


class PlayedStage:
    def __init__(self) -> None:
        self.order: list[tuple[int, str]] = []
        self.now_s, self.varies = 0.0, 0.1

    def turn(self, run: Played, lap: int, turn_s: float) -> None:
        self.order.append((lap, run.spec.strategy))
        self.now_s += turn_s
        # Not quite the same each time, as a machine is.
        length = round(S / run.steps_per_s * (1 + self.varies * (len(self.order) % 7)))
        ends = tuple(length * call for call in range(1, 1 + run.steps_of_a_turn))
        run.progress.last_timed = Phase(name="turn", start_ns=0, end_ns=ends[-1], call_ends_ns=ends, lap=lap)
        run.lives -= 1
        if run.lives == 0:
            run.outcome = Outcome(state="killed")


def take(stage: PlayedStage, *runs: Played, turns_each: int, before: int = 0) -> None:
    until_s = stage.now_s + turns_each * len(runs) * TURN_S
    Turns(cast("Any", stage), seed=0, laps_before=before).take(cast("Any", runs), until_s)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> PlayedStage:
    made = PlayedStage()
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: made.now_s))
    monkeypatch.setattr(HostDisturbance, "read_counters", lambda *_: None)
    monkeypatch.setattr(HostDisturbance, "disturbance", lambda *_: "")
    return made


def test_every_second_lap_is_in_the_reverse_order_and_the_time_ends_them(stage: PlayedStage) -> None:
    runs = [Played("a", 10.0), Played("b", 10.1), Played("c", 9.9)]
    take(stage, *runs, turns_each=4, before=7)
    orders = [[name for lap, name in stage.order if lap == number] for number in range(8, 12)]
    assert sorted(orders[0]) == ["a", "b", "c"]
    assert orders == [orders[0], orders[0][::-1]] * 2
    assert stage.order[-1][0] == 11, "laps are counted on from those that there were"


def test_what_is_decided_stops_and_the_others_go_on(stage: PlayedStage) -> None:
    take(stage, Played("a", 10.0), Played("b", 30.0), Played("c", 10.2), turns_each=13)
    count = {name: sum(other == name for _, other in stage.order) for name in "abc"}
    assert FEWEST_DECIDING <= count["b"] < FEWEST_LAPS
    assert count["a"] == count["c"] > FEWEST_LAPS


def test_a_run_that_dies_in_its_turn_costs_only_itself(stage: PlayedStage) -> None:
    take(stage, Played("a", 10.0), Played("b", 10.1, lives=2), Played("c", 10.2), turns_each=10)
    assert sum(name == "b" for _, name in stage.order) == 2
    assert sum(name == "c" for _, name in stage.order) > 5
    alone = len(stage.order)
    take(stage, Played("a", 10.0, lives=3), Played("b", 10.1), turns_each=10, before=100)
    assert len(stage.order) - alone <= 6, "without another there is nothing to tell"


def test_where_the_first_dies_the_others_are_compared_with_the_next(stage: PlayedStage) -> None:
    take(stage, Played("a", 10.0, lives=1), Played("b", 10.1), Played("c", 10.2), Played("d", 30.0), turns_each=15)
    count = {name: sum(other == name for _, other in stage.order) for name in "abcd"}
    assert count["a"] == 1
    assert count["b"] == count["c"] > FEWEST_LAPS
    assert FEWEST_DECIDING <= count["d"] < FEWEST_LAPS, "it differs from the next for sure"


def test_a_turn_of_a_single_step_tells_nothing(stage: PlayedStage) -> None:
    runs = [Played("a", 10.0), Played("b", 30.0)]
    for run in runs:
        run.steps_of_a_turn = 1
    take(stage, *runs, turns_each=15)
    assert len(stage.order) == 30, "nothing is decided"


def test_a_run_alone_takes_turns_until_it_is_precise_or_time_ends(stage: PlayedStage) -> None:
    def alone(run: Played, seconds: float) -> int:
        before = len(stage.order)
        Turns(cast("Any", stage), seed=0, laps_before=0).take_alone(cast("Any", run), stage.now_s + seconds)
        return len(stage.order) - before

    assert alone(Played("a", 10.0), 20.0) == 20, "its pace varies too much"
    assert alone(Played("a", 10.0, lives=3), 20.0) == 3
    stage.varies = 0.0
    assert alone(Played("a", 10.0), 20.0) == BLOCKS


def test_what_is_disturbed_is_marked_and_decides_nothing(stage: PlayedStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostDisturbance, "disturbance", lambda *_: "others took 1 of 2 processors")
    runs = [Played("a", 10.0), Played("b", 30.0)]
    take(stage, *runs, turns_each=15)
    assert len(stage.order) == 30, "as long as there is time"
    assert runs[0].marks == runs[1].marks == list(range(1, 16))


def test_what_disturbs_the_gpu_is_marked_too(stage: PlayedStage) -> None:
    hot = SimpleNamespace(begin=lambda: None, disturbance=lambda pid: "heat" if pid == 1 else "")
    runs = [Played("a", 10.0), Played("b", 30.0)]
    Turns(cast("Any", stage), 0, 0, cast("Any", hot)).take(cast("Any", runs), 6.0)
    assert runs[0].marks == runs[1].marks == [1, 2, 3]


def test_what_disturbs_a_block() -> None:
    onlooker = HostDisturbance()
    cores = len(onlooker._cores)
    start = Counters(now_s=0.0, busy_s=0.0, own_s=0.0, swapped_mib=0.0, clock_mhz=None)
    own = Counters(now_s=2.0, busy_s=1.5, own_s=1.5, swapped_mib=0.0, clock_mhz=None)
    assert onlooker.disturbance(start, own) == ""
    foreign = Counters(now_s=2.0, busy_s=1.5 + 2.0 * cores, own_s=1.5, swapped_mib=0.0, clock_mhz=None)
    assert f"others took {cores:.1f} of {cores} processor" in onlooker.disturbance(start, foreign)
    swapping = Counters(now_s=2.0, busy_s=1.5, own_s=1.5, swapped_mib=64.0, clock_mhz=None)
    assert "memory was short" in onlooker.disturbance(start, swapping)
    onlooker._fastest_mhz = 3000.0
    slow = Counters(now_s=2.0, busy_s=1.5, own_s=1.5, swapped_mib=0.0, clock_mhz=2000.0)
    assert "fallen to 2000 MHz" in onlooker.disturbance(start, slow).replace(",", "")


def test_an_onlooker_sees_a_busy_loop_of_others_and_not_of_ours() -> None:
    onlooker, worker = HostDisturbance(), Spinner()
    try:
        before = onlooker.read_counters(worker.pid)
        until(lambda: onlooker.read_counters(worker.pid).own_s - before.own_s > 0.1, "work of the busy loop")
        after = onlooker.read_counters(worker.pid)
        assert onlooker.read_counters(os.getpid()).own_s != after.own_s
    finally:
        worker.kill()


def test_runs_that_took_turns_are_compared_by_their_laps() -> None:
    pace = {lap: 100.0 * (1.5 if lap % 3 else 1.0) for lap in range(1, 9)}
    base = timed("base", 1, pace)
    fast = timed("fast", 1, {lap: 1.2 * rate * (1 + 0.01 * (lap % 2)) for lap, rate in pace.items()})
    found = Comparisons.of([base, fast], "base")
    ratio = found.ratio("fast", "base")
    assert ratio is not None
    assert ratio.value == pytest.approx(1.206, abs=0.01), "though their windows were alike, and the machine restless"
    assert ratio.low > 1.1
    assert found.beyond("fast", "base") == "faster"
    assert found.beyond("base", "fast") == "slower"
    assert found.ranks == {"fast": 1, "base": 2}
    resolution = found.resolution()
    assert resolution is not None
    assert 0.01 < resolution < 0.1


def test_a_mark_of_the_last_lap_is_in_the_record_at_once(tmp_path: Path) -> None:
    run = ActiveRun(spec(), tmp_path, cast("Any", SimpleNamespace(pid=1, exit_code=lambda: None)), limit_s=60.0)
    log = EventLog(tmp_path)
    log.write("phase", name="turn", lap=4)
    run.poll()
    run.disturbed(4, "others took 1 of 2 processors")
    assert [phase.disturbed for phase in run.record().phases] == ["others took 1 of 2 processors"]


def test_disturbed_laps_are_left_out_where_there_are_enough_without() -> None:
    pace = dict.fromkeys(range(1, 9), 100.0)
    runs = {
        Process("a", 1): timed("a", 1, pace, disturbed=(1, 2)),
        Process("b", 1): timed("b", 1, pace, disturbed=(2, 3)),
    }
    assert len(lap_rates(runs)) == 5
    all_disturbed = {
        Process("a", 1): timed("a", 1, pace, disturbed=tuple(pace)),
        Process("b", 1): timed("b", 1, pace),
    }
    assert len(lap_rates(all_disturbed)) == 8


def test_a_study_that_was_killed_keeps_the_turns_of_the_run_that_was_alive(tmp_path: Path) -> None:
    run = run_folder(tmp_path, 1, "a")
    run.mkdir(parents=True)
    save(spec(), run / SPEC_FILE)
    log = EventLog(run)
    log.write("phase", 1, name="window")
    log.write("calls", 3 * S, ends_ns=list(ends(1, 100.0)))
    log.write("phase", 3 * S, name="paused")
    save(Run(spec=spec(), outcome=Outcome(state="interrupted", message=folder.STILL_TAKES_TURNS)), run / RUN_FILE)
    log.write("phase", 4 * S, name="turn", lap=1)
    log.write("calls", 8 * S, ends_ns=list(ends(4 * S, 100.0)))
    log.write("disturbed", 8 * S, lap=1, words="others")
    assert folder.recover(tmp_path) == [run]
    record = load(Run, run / RUN_FILE)
    assert record.is_measured
    assert [(phase.name, phase.lap, phase.disturbed) for phase in record.phases][-1] == ("turn", 1, "others")
    assert folder.recover(tmp_path) == [], "once is enough"
    assert list(EventReader(run).new())[-1]["event"] == "disturbed"
    assert (run / EVENTS_FILE).is_file()


def test_memory_that_does_not_hold_two_makes_them_follow_each_other() -> None:
    card = GpuInfo(index=0, name="Card", memory_mib=4096.0)
    machine = recordings.environment([card])
    room = MemoryFit(machine, turns=True)
    room.learn(SimpleNamespace(host_peak_mib=100.0, device_peak_mib=1000.0))  # type: ignore[arg-type]
    assert room.allows_turns
    assert room.runs_at_once(3) == 3
    assert room.notes([]) == ()
    room.learn(SimpleNamespace(host_peak_mib=100.0, device_peak_mib=2500.0))  # type: ignore[arg-type]
    assert not room.allows_turns
    assert "do not fit into the GPU's memory" in room.notes([])[0]
    host = MemoryFit(recordings.environment([]), turns=True)
    host.learn(SimpleNamespace(host_peak_mib=1e9, device_peak_mib=None))
    assert host.runs_at_once(3) == 1
    assert not host.allows_turns
    assert "beside another run" in MemoryFit(machine, turns=True).notes(["xla"])[0]


def test_a_card_that_others_fill_makes_runs_follow_each_other() -> None:
    room = MemoryFit(recordings.environment([GpuInfo(index=0, name="Card", memory_mib=24576.0)]), turns=True)
    assert room.runs_at_once(1, gpu_free_mib=100.0) == 1
    assert room.allows_turns, "nothing is known yet of what a run needs"
    room.learn(SimpleNamespace(host_peak_mib=100.0, device_peak_mib=4000.0))  # type: ignore[arg-type]
    assert room.runs_at_once(1, gpu_free_mib=4500.0) == 1
    assert room.allows_turns
    assert room.runs_at_once(1, gpu_free_mib=4499.0) == 1
    assert not room.allows_turns
    assert "4.39 GiB of the GPU's memory that are free" in room.notes([])[0]


def test_the_first_stays_where_it_is_in_whatever_order_the_others_are() -> None:
    waiting = [PlannedRun(1, "b"), PlannedRun(2, "a"), PlannedRun(1, "c"), PlannedRun(1, "d")]
    ordered = reordered(waiting, ["d", "c", "b"], "a")
    assert [run.strategy for run in ordered] == ["d", "a", "c", "b"]


def test_every_phase_of_a_run_has_its_place_in_the_breakdown_of_the_whole() -> None:
    assert set(PLANNED) == set(get_args(PhaseName))
