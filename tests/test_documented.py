"""Workloads of ours give the verdict that they document, on a processor, where plain `fit` feeds them."""

from __future__ import annotations

from pathlib import Path

import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from gpuprobe.diagnosis.diagnosed import diagnosed  # noqa: E402
from gpuprobe.ledger.account import account_of  # noqa: E402
from gpuprobe.measure.compiled import compiled  # noqa: E402
from gpuprobe.measure.conductor import Conductor  # noqa: E402
from gpuprobe.measure.events import EventLog  # noqa: E402
from gpuprobe.measure.stepper import Stepper  # noqa: E402
from gpuprobe.records import RunSpec  # noqa: E402
from gpuprobe.strategies import feeds  # noqa: E402
from gpuprobe.strategies.plan import Machine  # noqa: E402
from gpuprobe.strategies.registry import plan  # noqa: E402
from gpuprobe.traces.read import read  # noqa: E402
from gpuprobe.workloads.cifar import ON_CPU, resnet_on_cifar  # noqa: E402
from gpuprobe.workloads.registry import workloads  # noqa: E402
from gpuprobe.workloads.source import source  # noqa: E402
from gpuprobe.workloads.synthetic import synthetic  # noqa: E402
from gpuprobe.workloads.workload import Workload  # noqa: E402

# Steps of a millisecond or two, as the others have on a processor, show what else the machine does instead.
ROBUST = ("text", "healthy")
CASES = {
    **{name: (workloads()[name].make, workloads()[name].on_cpu) for name in ROBUST},
    "resnet20": (lambda: resnet_on_cifar(synthetic(0, "", train=512, test=32)), ON_CPU),
}


def primary(workload: Workload, folder: Path) -> str:
    """Train a few steps, trace some, and return the cause that is found."""
    machine = Machine(compute_capability=None, cpu_has_bfloat16=False, largest_batch=lambda: 10**6)
    # Text is fed by tf.data alone.
    numpy, tfdata = plan("numpy", workload.batch_size, machine), plan("tfdata", workload.batch_size, machine)
    planned = tfdata if feeds.cannot(numpy, workload, source(workload)) else numpy
    model, _ = compiled(workload, planned)
    feed = feeds.make(planned, workload, 0)
    # So few that all lie within the first epoch: what lies between two epochs is no part of a step.
    spec = RunSpec(
        strategy="fit", round=1, seed=0, batch_size=workload.batch_size, steps=3, trace_steps=5, window_s=0.2
    )
    log = EventLog(folder)
    log.write("phase", name="warmup")
    Stepper(Conductor(spec, 1, trace=True), log, folder / "trace", workload.batch_size, lambda: None).attach(model)
    feed.train(model, 0, feeds.ENDLESS, [])
    found = diagnosed(account_of(read(folder))).primary
    assert found is not None
    return found.cause


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="what a GPU is expected to show is another")
@pytest.mark.parametrize("name", list(CASES))
def test_a_workload_of_ours_gives_the_verdict_that_it_documents(name: str, tmp_path: Path) -> None:
    make, documented = CASES[name]
    assert primary(make(), tmp_path) in documented.partition(":")[0].split(" or ")
