"""Workloads of ours give the verdict that they document, on a processor, under the strategy a study begins with.

The verdict is that of recorded traces: a machine that is busy with other things gives another one, and rightly so. What
a real training shows here is what no load changes; `make lab` trains them all and judges that.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.program import Cli
from tests.lab.documented import RECORDED, RESNET, documented

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from gpuprobe.backends.backend import current  # noqa: E402
from gpuprobe.diagnosis.case import Case  # noqa: E402
from gpuprobe.diagnosis.diagnose import diagnose  # noqa: E402
from gpuprobe.diagnosis.records import Diagnosis  # noqa: E402
from gpuprobe.ledger.breakdown import breakdown_of  # noqa: E402
from gpuprobe.measure.compiled import compiled  # noqa: E402
from gpuprobe.measure.event_log import EventLog  # noqa: E402
from gpuprobe.measure.run_phases import RunPhases  # noqa: E402
from gpuprobe.measure.train_function import TimedTrainFunction  # noqa: E402
from gpuprobe.records import RunSpec  # noqa: E402
from gpuprobe.strategies import driving, feeds  # noqa: E402
from gpuprobe.strategies.feasible import cannot  # noqa: E402
from gpuprobe.strategies.plan import Machine  # noqa: E402
from gpuprobe.strategies.registry import plan, strategies  # noqa: E402
from gpuprobe.traces.read import read  # noqa: E402
from gpuprobe.workloads.cifar import resnet_on_cifar  # noqa: E402
from gpuprobe.workloads.registry import workloads  # noqa: E402
from gpuprobe.workloads.source import source  # noqa: E402
from gpuprobe.workloads.synthetic import synthetic  # noqa: E402
from gpuprobe.workloads.workload import Workload  # noqa: E402
from tests.helpers.gates import OpenGate, nothing  # noqa: E402

MADE: dict[str, Callable[[], Workload]] = {
    **{name: entry.make for name, entry in workloads().items()},
    RESNET: lambda: resnet_on_cifar(synthetic(0, "", train=512, test=32)),
}
TRACED = 4


@pytest.mark.parametrize("name", list(MADE))
def test_a_recorded_trace_of_each_gives_the_verdict_that_it_documents(name: str, tmp_path: Path) -> None:
    (tmp_path / "of.xplane.pb").write_bytes(lzma.decompress((RECORDED / f"{name}.xplane.pb.xz").read_bytes()))
    found = diagnose(Case(breakdown_of(read(tmp_path)))).primary
    wanted = documented()[name]
    assert found is not None
    assert (found.cause, found.stage) == (wanted.cause, wanted.stage)
    assert found.confidence in {"high", "medium"}


def trained(workload: Workload, folder: Path) -> Diagnosis:
    """Train a few steps as a run does, trace some, and diagnose the trace."""
    machine = Machine(compute_capability=None, cpu_has_bfloat16=False, largest_batch=lambda: 10**6)
    plans = (plan(name, workload.batch_size, machine) for name in strategies())
    # The first one that can feed it: text is fed by tf.data alone.
    planned = next(each for each in plans if not cannot(each, workload, source(workload)))
    model, _ = compiled(workload, planned, current())
    feed = feeds.make(planned, workload, 0)
    size = workload.batch_size
    spec = RunSpec(strategy="", round=1, seed=0, batch_size=size, steps=3, trace_steps=TRACED, window_s=0.2)
    log = EventLog(folder)
    log.write("phase", name="warmup")
    conductor = RunPhases(spec, 1, trace=True, epoch_calls=feed.epoch_calls)
    TimedTrainFunction(
        conductor, current(), log, folder / "trace", workload.batch_size, OpenGate(folder), nothing
    ).attach(model)
    notice = keras.callbacks.LambdaCallback(on_epoch_begin=lambda _epoch, _logs: conductor.epoch_began())
    feed.train(model, 0, driving.ENDLESS, [notice])
    return diagnose(Case(breakdown_of(read(folder))))


on_a_processor = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="what a GPU is expected to show is another"
)


@on_a_processor
@pytest.mark.parametrize("name", list(MADE))
def test_a_training_of_each_is_accounted_for_whole(name: str, tmp_path: Path) -> None:
    found = trained(MADE[name](), tmp_path)
    (device,) = found.devices
    assert (device.kind, device.steps_from) == ("cpu", "step markers")
    # How many are traced is a matter of how long they take: on a busy machine fewer than were asked for.
    assert device.steps >= 2
    assert sum(device.ledger_ms.values()) == pytest.approx(device.step_ms, abs=1e-3)
    assert device.ledger_ms["cpu_compute"] > 0
    assert found.primary is not None
    assert found.primary.cause == "unattributed" or found.primary.fix


@on_a_processor
def test_a_study_of_a_workload_of_ours_is_judged_by_its_trace(cli: Cli, tmp_path: Path) -> None:
    """Through the command, on the one whose epochs are shorter than a window."""
    done = cli("run", "--model", "wide", "--strategies", "python_feed", "--quick", "--steps", "9", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (study,) = tmp_path.iterdir()
    findings = json.loads((study / "report.json").read_text())["findings"]
    (first,) = [finding["cause"] for finding in findings if finding["primary"]]
    by_trace = diagnose(Case(breakdown_of(read(study / "runs" / "1-python_feed")))).primary
    assert by_trace is not None
    assert by_trace.cause in {finding["cause"] for finding in findings}
    assert f"**cause** {first}" in (study / "report.md").read_text()
