"""Two real workers of one run: they do the work of one, are traced in the same steps, and a fault costs only itself."""

from __future__ import annotations

import errno
import os
import signal
import socket
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.measure import group
from gpuprobe.measure.event_log import EventLog, EventReader
from gpuprobe.measure.group import GroupLauncher
from gpuprobe.measure.hosts import JobHost
from gpuprobe.measure.live_runs import LiveRuns
from gpuprobe.measure.process import ForkingLauncher
from gpuprobe.records import Job, RunSpec
from gpuprobe.traces.read import read
from tests.helpers.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gpuprobe.measure.active_run import ActiveRun
    from gpuprobe.measure.process import Worker

pytest.importorskip("tensorflow")
from gpuprobe.measure import leading_worker
from gpuprobe.measure.leading_worker import LeaderMessage

# The second worker sleeps in each step, whose exchange the first one waits in. An epoch has eight steps.
WORKLOAD = """
import json, os, time
import numpy as np

def workload():
    import keras, tensorflow as tf
    from gpuprobe.workloads.workload import Workload

    index = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]["index"]

    class Sleepy(keras.Model):
        def train_step(self, data):
            x, y = data
            def rest():
                time.sleep(0.1 * index)
                return np.float32(0)
            slept = tf.numpy_function(rest, [], tf.float32)
            slept.set_shape(())
            return super().train_step((x + slept, y))

    def model():
        inputs = keras.Input((4,))
        return Sleepy(inputs, keras.layers.Dense(1)(inputs))

    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    return Workload(model=model, data=(x, x[:, :1]), batch_size=8, loss="mse", optimizer="sgd")
"""
NOBODY = SimpleNamespace(run_started=lambda *_: None, run_progress=lambda *_: None, run_finished=lambda *_: None)


class Launched:
    """A folder of runs, whose processes are forked from one that has imported TensorFlow."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.launcher = folder, ForkingLauncher()
        self.file = folder / "late.py"
        self.file.write_text(WORKLOAD)
        self.count = 0

    def stage(self, launcher: Any = None, limit_s: float = 60.0, job: Job | None = None) -> LiveRuns:
        self.count += 1
        study = SimpleNamespace(request=SimpleNamespace(limit_s=limit_s))
        where = self.folder / str(self.count)
        where.mkdir()
        starter = GroupLauncher(launcher or self.launcher, (lambda _spec: job) if job else None)
        return LiveRuns(cast("Any", study), where, starter, cast("Any", NOBODY))

    def spec(self, strategy: str) -> RunSpec:
        model = f"{self.file}:workload"
        return RunSpec(strategy=strategy, round=1, seed=0, batch_size=8, steps=12, trace_steps=2, model=model)

    def measured(self, stage: LiveRuns, strategy: str) -> ActiveRun:
        run = stage.start(self.spec(strategy))
        stage.wait_until_warm([run])
        stage.measure(run)
        return run


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    made = Launched(tmp_path_factory.mktemp("workers"))
    yield made
    made.launcher.close()


def losses(run: ActiveRun) -> list[tuple[float, float]]:
    return [(point.samples, point.loss or 0.0) for point in run.record().losses]


def test_two_do_the_work_of_one_and_are_traced_in_the_same_steps(launched: Launched) -> None:
    runs = {}
    for strategy in ("own_loop", "multi_worker_2"):
        stage = launched.stage()
        runs[strategy] = launched.measured(stage, strategy)
        stage.end(runs[strategy])
        outcome = runs[strategy].outcome
        assert outcome is not None
        assert outcome.state == "done", outcome
    one, two = runs.values()
    assert len(losses(one)) > 12
    # The same samples in each step, more than an epoch of them; sums in another order differ in their last digits.
    for own, other in zip(losses(one), losses(two), strict=False):
        assert own == pytest.approx(other, rel=1e-4)
    settings = two.record().settings
    assert settings is not None
    assert (settings.batch_size, settings.replicas) == (8, 2)
    trace = two.folder / "trace"
    assert [device.host for device in breakdown_of(read(trace)).devices] == ["worker0", "worker1"]
    numbers = [read(file).steps.number.tolist() for file in sorted(trace.glob("plugins/profile/*/*.xplane.pb"))]
    assert numbers[0] == numbers[1], "both began and ended with the same step"
    assert len(numbers[0]) > 2


def test_without_an_exchange_they_still_keep_step(launched: Launched) -> None:
    stage = launched.stage()
    run = launched.measured(stage, "workers_apart_2")
    stage.end(run)
    assert run.outcome is not None
    assert run.outcome.state == "done", run.outcome


@pytest.mark.parametrize(
    ("strategy", "name", "says"),
    [
        ("multi_worker_2", "SIGKILL", "worker 1 was ended by SIGKILL"),
        ("multi_worker_2", "SIGSTOP", "worker 1 is stopped (SIGSTOP)"),
        ("data_service_1", "SIGKILL", "the dispatcher of tf.data service was ended by SIGKILL"),
    ],
)
def test_one_that_fails_in_the_middle_costs_no_more_than_its_run(
    launched: Launched, strategy: str, name: str, says: str
) -> None:
    # TensorFlow itself would give up after ten seconds and more.
    stage = launched.stage(limit_s=5.0)
    run = launched.measured(stage, strategy)
    os.kill(run.worker.pids[1], getattr(signal, name))
    stage.turn(run, 1, 1.0)
    assert run.outcome is not None
    assert says in run.outcome.message
    assert run.record().is_measured, "what it measured before counts"
    stage.stop()


def test_workers_of_two_hosts_are_started_and_traced_each_by_its_own(launched: Launched) -> None:
    addresses = tuple(f"localhost:{port}" for port in group.free_ports(2))
    stages = [launched.stage(job=JobHost(addresses, index).job(0)) for index in (0, 1)]
    first, second = (stage.start(launched.spec("multi_worker_2")) for stage in stages)
    stages[0].wait_until_warm([first])
    stages[0].measure(first)
    stages[0].end(first)

    def has_ended() -> bool:
        second.poll()
        return second.outcome is not None

    until(has_ended)
    for index, run in enumerate((first, second)):
        assert run.outcome is not None
        assert run.outcome.state == "done", run.outcome
        (trace,) = (run.folder / "trace" / "plugins" / "profile").glob("*/*.xplane.pb")
        assert trace.name == f"worker{index}.xplane.pb"
    for stage in stages:
        stage.stop()


class Absent:
    """Starts all but the second worker."""

    def __init__(self, launcher: ForkingLauncher) -> None:
        self._launcher = launcher

    def start(self, folder: Path, spec: RunSpec) -> Worker:
        assert spec.job is not None
        started = self._launcher.start(folder, spec)
        if spec.job.index == 1:
            # One that was forked just now does not lead its session yet.
            until(lambda: os.getsid(started.pid) == started.pid)
            started.freeze()
        return started


def test_one_that_never_comes_is_named_within_the_limit(launched: Launched) -> None:
    stage = launched.stage(Absent(launched.launcher), limit_s=5.0)
    run = stage.start(launched.spec("multi_worker_2"))
    stage.wait_until_warm([run])
    assert run.outcome is not None
    assert run.outcome.message.startswith("worker 1 is stopped")
    stage.stop()


def test_a_port_that_is_taken_is_named(launched: Launched, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("localhost", 0))
        held.listen()
        port = held.getsockname()[1]
        other, service = group.free_ports(2)
        monkeypatch.setattr(group, "free_ports", lambda _count: [service, other, port])
        stage = launched.stage(limit_s=20.0)
        run = stage.start(launched.spec("multi_worker_2"))
        stage.wait_until_warm([run])
    assert run.outcome is not None
    assert str(port) in run.outcome.message
    stage.stop()


class FullDisk:
    """A profiler whose trace cannot be written."""

    def marker(self, _step: int) -> AbstractContextManager[None]:
        return nullcontext()

    def start_trace(self, _folder: Path, _give_way: object) -> None:
        return

    def stop_trace(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_follower_whose_trace_cannot_be_written_trains_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter(
        [
            LeaderMessage.NOTHING,
            LeaderMessage.TRACE,
            LeaderMessage.NOTHING,
            LeaderMessage.STOP,
            LeaderMessage.NOTHING,
            LeaderMessage.END,
        ]
    )
    monkeypatch.setattr(leading_worker, "TensorFlow", FullDisk)
    monkeypatch.setattr(leading_worker, "LAST_EXCHANGE_S", 0.0)

    class Step:
        def __call__(self, _iterator: object) -> dict[str, float]:
            return {}

        def received_message(self) -> LeaderMessage:
            return next(words)

    model: Any = SimpleNamespace(stop_training=False)
    leading_worker.Follower(cast("Any", Step()), tmp_path, EventLog(tmp_path)).attach(model)
    while not model.stop_training:
        model.train_function(None)
    (trace,) = [event["trace"] for event in EventReader(tmp_path).new() if event["event"] == "trace"]
    assert "No space left on device" in trace["missing"]
