"""Workloads of ours give the verdict that they document, on a processor, under the strategy a study begins with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cli

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from gpuprobe.diagnosis.diagnosed import diagnosed  # noqa: E402
from gpuprobe.diagnosis.records import Finding  # noqa: E402
from gpuprobe.ledger.account import account_of  # noqa: E402
from gpuprobe.measure.compiled import compiled  # noqa: E402
from gpuprobe.measure.conductor import Conductor  # noqa: E402
from gpuprobe.measure.events import EventLog  # noqa: E402
from gpuprobe.measure.stepper import Stepper  # noqa: E402
from gpuprobe.records import RunSpec  # noqa: E402
from gpuprobe.strategies import feeds  # noqa: E402
from gpuprobe.strategies.feasible import cannot  # noqa: E402
from gpuprobe.strategies.plan import Machine  # noqa: E402
from gpuprobe.strategies.registry import plan, strategies  # noqa: E402
from gpuprobe.traces.read import read  # noqa: E402
from gpuprobe.workloads.cifar import ON_CPU, resnet_on_cifar  # noqa: E402
from gpuprobe.workloads.registry import workloads  # noqa: E402
from gpuprobe.workloads.source import source  # noqa: E402
from gpuprobe.workloads.synthetic import synthetic  # noqa: E402
from gpuprobe.workloads.workload import Workload  # noqa: E402

CASES = {
    **{name: (entry.make, entry.on_cpu) for name, entry in workloads().items()},
    "resnet20": (lambda: resnet_on_cifar(synthetic(0, "", train=512, test=32)), ON_CPU),
}


def primary(workload: Workload, folder: Path) -> Finding:
    """Train a few steps as a run does, trace some, and return the finding that leads."""
    machine = Machine(compute_capability=None, cpu_has_bfloat16=False, largest_batch=lambda: 10**6)
    plans = (plan(name, workload.batch_size, machine) for name in strategies())
    # The first one that can feed it: text is fed by tf.data alone.
    planned = next(each for each in plans if not cannot(each, workload, source(workload)))
    model, _ = compiled(workload, planned)
    feed = feeds.make(planned, workload, 0)
    spec = RunSpec(strategy="", round=1, seed=0, batch_size=workload.batch_size, steps=3, trace_steps=4, window_s=0.2)
    log = EventLog(folder)
    log.write("phase", name="warmup")
    conductor = Conductor(spec, 1, trace=True, epoch_calls=feed.epoch_calls)
    Stepper(conductor, log, folder / "trace", workload.batch_size, lambda: None).attach(model)
    notice = keras.callbacks.LambdaCallback(on_epoch_begin=lambda _epoch, _logs: conductor.epoch_began())
    feed.train(model, 0, feeds.ENDLESS, [notice])
    found = diagnosed(account_of(read(folder))).primary
    assert found is not None
    return found


on_a_processor = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="what a GPU is expected to show is another"
)


@on_a_processor
@pytest.mark.parametrize("name", list(CASES))
def test_a_workload_of_ours_gives_the_verdict_that_it_documents(name: str, tmp_path: Path) -> None:
    make, documented = CASES[name]
    cause, _, why = documented.partition(": ")
    found = primary(make(), tmp_path)
    assert (found.cause, found.confidence) in {(cause, "high"), (cause, "medium")}
    assert found.stage is None or why.startswith(f"{found.stage},")


@on_a_processor
def test_a_study_of_a_workload_of_ours_gives_that_verdict(cli: Cli, tmp_path: Path) -> None:
    """Through the command, on the one whose epochs are shorter than a window."""
    done = cli("run", "--model", "wide", "--strategies", "python_feed", "--quick", "--steps", "9", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (report,) = tmp_path.glob("*/report.json")
    findings = json.loads(report.read_text())["findings"]
    assert next((found["cause"], found["stage"]) for found in findings if found["primary"]) == (
        "input_bound",
        "python_feed",
    )
