"""Our five workloads under JAX and PyTorch, a few steps each; skipped where they are not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from gpuprobe.backends.known import environment
from gpuprobe.workloads.registry import workloads

RESNET = "resnet20"
SCRIPT = """
import dataclasses, json, sys
import keras, numpy as np
from gpuprobe.backends.backend import current
from gpuprobe.measure.compiled import compiled
from gpuprobe.strategies import feeds
from gpuprobe.strategies.feasible import cannot
from gpuprobe.strategies.plan import Machine
from gpuprobe.strategies.registry import plan
from gpuprobe.workloads.cifar import resnet_on_cifar
from gpuprobe.workloads.registry import workloads
from gpuprobe.workloads.source import source
from gpuprobe.workloads.synthetic import synthetic

machine = Machine(compute_capability=None, cpu_has_bfloat16=False, largest_batch=lambda: 64)
made = {"resnet20": lambda: resnet_on_cifar(synthetic(0, "", train=64, test=8), depth=20)}
made.update({name: entry.make for name, entry in workloads().items()})

class Losses(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(logs["loss"]))
        self.model.stop_training = len(self.seen) == 3

for name, make in made.items():
    keras.utils.set_random_seed(0)
    workload = make()
    batch_size = min(8, workload.batch_size)
    wanted = plan("numpy", batch_size, machine, backend=sys.argv[1])
    given = source(workload)
    reason = cannot(wanted, workload, given)
    losses = Losses()
    if not reason:
        few = workload if workload.map else dataclasses.replace(workload, data=given.first(64))
        model, seen = compiled(few, wanted, current())
        feed = feeds.make(wanted, few, seed=0)
        feed.adapt(model)
        feed.train(model, 0, 9, [losses])
    print(json.dumps([name, reason, losses.seen if not reason else []]), flush=True)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_each_trains_or_says_why_not(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend],
        env={**os.environ, **environment(backend)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = {name: (reason, losses) for name, reason, losses in map(json.loads, done.stdout.splitlines())}
    assert set(told) == {RESNET, *workloads()}
    # What makes its tokens one sample at a time is fed by tf.data alone.
    assert told.pop("text")[0] is not None
    for name, (reason, losses) in told.items():
        assert reason is None, name
        assert len(losses) == 3, name
        assert all(0 < loss < 100 for loss in losses), (name, losses)
