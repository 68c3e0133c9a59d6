"""Workers of several hosts: each finds its place by TF_CONFIG, and all carry out the same runs in one order."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from gpuprobe.cli import _study
from gpuprobe.errors import UsageError
from gpuprobe.measure import hosts, live_runs
from gpuprobe.measure import study as measure
from gpuprobe.measure.begin import ReadyStudy, resume
from gpuprobe.measure.budget import DEFAULT_ROUNDS
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.hosts import JobHost, host_of, in_order_of_hosts, runs_of_several_workers
from gpuprobe.measure.plan import PlannedRun
from gpuprobe.recording import RUN_FILE, STUDY_FILE, run_folder
from gpuprobe.records import Outcome, Request, Run, RunSpec, Study, save
from gpuprobe.simulate.recordings import environment, study_record
from gpuprobe.strategies.scaling import scaled
from gpuprobe.traces.find import find
from tests.helpers.program import ROOT
from tests.helpers.studies import SimulatedStrategy, simulate_study

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = Request(rounds=1, budget_s=60.0, batch_size=8, seed=0, workers=(2,), worker_index=1)

NAMES = [strategy.name for strategy in scaled((2,), weak=False, over="workers")]


def config(*workers: str) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}})}


def test_a_host_finds_its_place() -> None:
    host = host_of(REQUEST, config("a:2222", "b:2223"), NAMES)
    assert host == JobHost(("a:2222", "b:2223"), 1)
    assert not host.leads
    assert host_of(msgspec.structs.replace(REQUEST, worker_index=None), {}, NAMES) is None


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("weak", [False, True])
def test_as_many_ports_are_asked_for_as_there_are_runs(weak: bool, rounds: int) -> None:
    study = study_of_workers(1, weak=weak, rounds=rounds)
    runs, names = len(runs_of_several_workers(study)), [info.name for info in study.strategies]
    assert host_of(study.request, config("a:1", f"b:{65536 - runs}"), names) is not None
    with pytest.raises(UsageError, match=f"{runs} runs take a port each"):
        host_of(study.request, config("a:1", f"b:{65537 - runs}"), names)


def test_the_guide_says_how_many_ports_must_be_open() -> None:
    strong, weak = (len(runs_of_several_workers(study_of_workers(1, weak=weak, rounds=1))) for weak in (False, True))
    last = 2222 + DEFAULT_ROUNDS * strong - 1
    guide = " ".join((ROOT / "docs" / "guides" / "several-hosts.md").read_text().split())
    assert f"There are {strong} in each of the `--rounds`, with `--scaling weak` {weak}: up to {last} in the" in guide


def test_each_run_has_ports_of_its_own() -> None:
    job = JobHost(("a:2222", "b:3333"), 1).job(2)
    assert (job.workers, job.index, job.gpu) == (("a:2224", "b:3335"), 1, 0)


@pytest.mark.parametrize(
    ("environ", "request_", "why"),
    [
        ({}, {}, "TF_CONFIG does not name the workers"),
        ({"TF_CONFIG": "{"}, {}, "TF_CONFIG: cannot be read"),
        (config("a:1"), {}, "TF_CONFIG names 1 workers"),
        (config("a:1", "b:x"), {}, "'b:x' is not an address"),
        (config("a:1", "b:65536"), {}, "'b:65536' is not an address"),
        (config("a:1", "b:65532"), {}, "5 runs take a port each, from that one on; name one up to 65531"),
        (config("a:65527", "b:1"), {"rounds": 2}, "10 runs take a port each, from that one on; name one up to 65526"),
        (config("a:1", "b:2"), {"worker_index": 2}, "the workers are 0 to 1"),
        (config("a:1", "b:2"), {"workers": (1, 2)}, "give one number to --workers"),
        (config("a:1", "b:2"), {"data_service": 1}, "no --data-service"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(environ: dict[str, str], request_: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why) as raised:
        host_of(msgspec.structs.replace(REQUEST, **request_), environ, NAMES)
    assert "\n" not in str(raised.value)


def test_the_runs_of_several_workers_come_first_on_all_hosts(tmp_path: Path) -> None:
    study: Study = simulate_study(tmp_path, [SimulatedStrategy(name="numpy", step_ms=50.0)])
    infos = tuple(strategy.info for strategy in scaled((2,), weak=False, over="workers"))
    study = msgspec.structs.replace(study, strategies=infos, request=REQUEST)
    names = [planned.strategy for planned in in_order_of_hosts(study, {"worker_packs_2"})]
    changes = ["worker_larger_global_batch_2", "worker_fp16_gradients_2"]
    assert names[:4] == ["multi_worker_2", "workers_apart_2", *changes]
    assert sorted(set(names[4:])) == ["own_loop", "own_loop_xla", "worker_share_2"]


class Failing:
    """Stands in for the processes of a host: each run fails in its first call. Notes the runs and their workers."""

    def __init__(self) -> None:
        self.started: list[tuple[int, str, tuple[str, ...]]] = []

    def __call__(self) -> Failing:
        return self

    def start(self, folder: Path, spec: RunSpec) -> Any:
        self.started.append((spec.round, spec.strategy, spec.job.workers if spec.job else ()))
        EventLog(folder).write("error", 1, state="failed", message="it cannot be compiled")
        return SimpleNamespace(pid=1, pids=(1,), exit_code=lambda: 1, outcome=lambda: None, hint=str, kill=lambda: None)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Failing:
    made = Failing()
    monkeypatch.setattr(measure, "ForkingLauncher", made)
    for module in (hosts, live_runs):
        monkeypatch.setattr(module, "telemetry", SimpleNamespace(sampling=lambda *_: nullcontext()))
    monkeypatch.setenv("TF_CONFIG", config("a:2222", "b:3333")["TF_CONFIG"])
    return made


def study_of_workers(index: int | None, *, weak: bool = False, rounds: int = 2) -> Study:
    strategies = scaled((2,), weak=weak, over="workers")
    infos = [strategy.info for strategy in strategies]
    machine = msgspec.structs.replace(environment([]), simulated=False)
    study = study_record("hosts", machine, infos, rounds=rounds, batch_size=8, command="")
    changed = {"workers": (2,), "worker_index": index, "weak": weak, "budget_s": 3600.0}
    return msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, **changed))


def carried_out(study: Study, folder: Path) -> None:
    folder.mkdir()
    ignore = cast("Any", lambda *_: None)
    nobody: Any = SimpleNamespace(run_started=ignore, run_progress=ignore, run_finished=ignore)
    assert measure.carry_out(study, folder, None, nobody, ignore) == []


def test_hosts_whose_runs_fail_stay_in_step(tmp_path: Path, host: Failing) -> None:
    carried_out(study_of_workers(0), tmp_path / "first")
    first_host = [run for run in host.started if run[2]]
    host.started.clear()
    (tmp_path / "second").mkdir()
    measure.take_part(study_of_workers(1), tmp_path / "second", None, lambda _run: None)
    assert host.started == first_host
    assert [run[2] for run in first_host] == [(f"a:{2222 + place}", f"b:{3333 + place}") for place in range(10)]
    assert {number for number, _, _ in first_host} == {1, 2}


def test_a_run_that_one_host_leaves_out_moves_no_port(tmp_path: Path, host: Failing) -> None:
    jobs = {}
    for name, skipped in (("all", ""), ("fewer", "worker_packs_2")):
        folder, study = tmp_path / name, study_of_workers(1)
        folder.mkdir()
        if skipped:
            run = Run(spec=PlannedRun(1, skipped).spec(study), outcome=Outcome(state="skipped"))
            run_folder(folder, 1, skipped).mkdir(parents=True)
            save(run, run_folder(folder, 1, skipped) / RUN_FILE)
        measure.take_part(study, folder, None, lambda _run: None)
        jobs[name] = {(number, strategy): workers for number, strategy, workers in host.started}
        host.started.clear()
    assert len(jobs["fewer"]) == 8
    assert jobs["fewer"].items() <= jobs["all"].items()


def test_one_host_alone_drops_what_failed_at_first(tmp_path: Path, host: Failing) -> None:
    carried_out(study_of_workers(None), tmp_path / "first")
    assert {number for number, strategy, _ in host.started if strategy == "multi_worker_2"} == {1}


def test_a_study_of_several_hosts_is_not_resumed(tmp_path: Path) -> None:
    save(study_of_workers(0), tmp_path / STUDY_FILE)
    with pytest.raises(UsageError, match="was measured on several hosts") as raised:
        resume(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("index", "told"), [(None, True), (0, False)])
def test_only_what_can_be_resumed_is_said_to_be(
    tmp_path: Path,
    host: Failing,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    index: int | None,
    told: bool,
) -> None:
    study = study_of_workers(index)
    save(study, tmp_path / STUDY_FILE)
    monkeypatch.setattr(_study, "begin", lambda *_: ReadyStudy(study, tmp_path, None))
    monkeypatch.setattr(_study, "carry_out", lambda *_: [PlannedRun(1, "multi_worker_2")])
    _study.start_study(study.request, (), tmp_path, ())
    output = capsys.readouterr().out
    assert "The budget left no time for multi_worker_2" in output
    assert ("--resume" in output) is told
    assert not host.started


def test_the_newest_traces_of_copied_studies_are_read_as_one(tmp_path: Path) -> None:
    for worker, newest in (("worker-0", "2026_01_31_23_59_58"), ("worker-1", "2026_01_31_23_59_59")):
        for run, taken in (("1-multi_worker_2", "2026_01_31_23_50_00"), ("2-multi_worker_2", newest)):
            session = tmp_path / worker / "study" / "runs" / run / "trace" / "plugins" / "profile" / taken
            session.mkdir(parents=True)
            (session / f"{worker}.xplane.pb").write_bytes(b"")
    files = find(tmp_path).files
    assert [file.parent.name for file in files] == ["2026_01_31_23_59_58", "2026_01_31_23_59_59"]
