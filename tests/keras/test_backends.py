"""Keras with JAX and PyTorch: what works there, and what does not is told; skipped where they are not installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.records import Run, load
from gpuprobe.traces.read import read

SCRIPT = """
import sys
import numpy as np, keras, gpuprobe
x = np.random.default_rng(0).standard_normal((320, 32)).astype("float32")

def trained(callbacks):
    keras.utils.set_random_seed(3)
    net = keras.Sequential([keras.Input((32,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(1)])
    net.compile("adam", "mse")
    history = net.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=callbacks).history
    return net.get_weights(), history

plain, _ = trained([])
probed, history = trained([gpuprobe.keras.Probe(sys.argv[1], trace_at=6)])
assert all(np.array_equal(one, other) for one, other in zip(plain, probed))
assert len(history["samples_per_s"]) == 2
"""


def watched(backend: str, out: Path) -> tuple[str, Path]:
    """Train with the backend under a Probe; return what it said, and its recording."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, out], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("gpuprobe:")) == (0, 0), done.stderr
    (study,) = out.iterdir()
    return done.stdout, study / "runs" / "1-fit"


def test_jax_is_traced_with_its_steps(tmp_path: Path) -> None:
    said, folder = watched("jax", tmp_path / "out")
    run = load(Run, folder / "run.json")
    assert run.settings is not None
    assert (run.outcome.state, run.settings.batch_size, run.settings.optimizer) == ("done", 32, "Adam")
    assert run.trace is not None
    assert run.trace.path is not None
    (device,) = breakdown_of(read(folder / "trace")).devices
    assert (device.kind, device.steps, device.steps_from) == ("cpu", 6, "step markers")
    assert device.ledger_ms["cpu_compute"] > 0
    assert "Verdict" in said


def test_pytorch_is_traced_with_its_steps(tmp_path: Path) -> None:
    said, folder = watched("torch", tmp_path / "out")
    run = load(Run, folder / "run.json")
    assert run.settings is not None
    assert (run.outcome.state, run.settings.batch_size, run.settings.device) == ("done", 32, "/device:CPU:0")
    assert run.settings.backend == "torch"
    (device,) = breakdown_of(read(folder / "trace")).devices
    assert (device.kind, device.steps, device.steps_from) == ("cpu", 6, "step markers")
    assert device.ledger_ms["cpu_compute"] > 0
    assert "Verdict" in said
