"""What each backend was asked for is read back from it; skipped where one is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import sys
import msgspec, numpy as np, keras
from gpuprobe.backends.backend import current
from gpuprobe.measure.compiled import compiled
from gpuprobe.strategies.plan import Machine
from gpuprobe.strategies.registry import plan
from gpuprobe.workloads.workload import Workload

backend, *names = sys.argv[1:]
keras.mixed_precision.set_global_policy("float32")
machine = Machine(compute_capability=None, cpu_has_bfloat16=True, largest_batch=lambda: 64)
x = np.zeros((32, 4), "float32")
workload = Workload(
    model=lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), data=(x, x[:, :1]), loss="mse"
)
for name in names:
    wanted = plan(name, 4, machine, backend=backend)
    keras.mixed_precision.set_global_policy(wanted.dtype_policy)
    model, seen = compiled(workload, wanted, current())
    model.fit(*workload.data, batch_size=4, verbose=0)
    read = current().settings(model, seen["batch_size"], seen["feed_dtype"])
    print(msgspec.json.encode(read).decode())
"""


def read_back(backend: str, *names: str) -> list[dict[str, Any]]:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, backend, *names], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_jax_compiles_each_step_takes_several_at_once_and_mixes_precision() -> None:
    plain, mixed, several = read_back("jax", "numpy", "mixed_precision", "steps_per_execution")
    assert {one["backend"] for one in (plain, mixed, several)} == {"jax"}
    assert plain["jit_compile"] is mixed["jit_compile"] is several["jit_compile"] is True
    assert (plain["compute_dtype"], mixed["compute_dtype"]) == ("float32", "bfloat16")
    assert (plain["steps_per_execution"], several["steps_per_execution"]) == (1, 8)
    assert plain["batch_size"] == several["batch_size"] == 4
    assert plain["device"] == "/device:CPU:0" or "GPU" in plain["device"]


def test_pytorch_steps_eagerly_and_mixes_precision() -> None:
    plain, mixed = read_back("torch", "numpy", "mixed_precision")
    assert (plain["backend"], plain["jit_compile"], plain["steps_per_execution"]) == ("torch", False, 1)
    assert (plain["compute_dtype"], mixed["compute_dtype"]) == ("float32", "bfloat16")
    assert plain["intra_op_threads"] >= 1
    assert plain["feed_dtype"] == "float32"
