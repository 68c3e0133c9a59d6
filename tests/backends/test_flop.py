"""How much arithmetic each backend says that a step is, beside what it is; skipped where one is not installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

BATCH, WIDTH, UNITS = 32, 64, 256
# As a run does: the batch is noted by the step, and its outline is what the count is given.
SCRIPT = f"""
import sys
import numpy as np, keras
from gpuprobe.backends.backend import current
from gpuprobe.measure.compiled import compiled
from gpuprobe.strategies.plan import Plan
from gpuprobe.workloads.workload import Workload

def net():
    return keras.Sequential([keras.Input(({WIDTH},)), keras.layers.Dense({UNITS}), keras.layers.Dense({UNITS})])

x = np.zeros(({2 * BATCH}, {WIDTH}), "float32")
workload = Workload(model=net, data=(x, np.zeros(({2 * BATCH}, {UNITS}), "float32")), loss="mse", optimizer="sgd")
backend = current()
plan = Plan(feed="arrays", batch_size={BATCH}, backend=sys.argv[1], jit_compile=sys.argv[1] == "jax")
model, seen = compiled(workload, plan, backend)
model.fit(*workload.data, batch_size={BATCH}, verbose=0)
print(seen["batch_size"], backend.step_flop(model.train_step, model, seen["data"]))
"""


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_a_step_is_counted_forward_and_backward(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    batch, flop = map(float, done.stdout.split())
    first, second = 2 * BATCH * WIDTH * UNITS, 2 * BATCH * UNITS * UNITS
    # What the first layer is given needs no gradient.
    assert batch == BATCH
    assert flop == pytest.approx(2 * first + 3 * second, rel=0.02)
