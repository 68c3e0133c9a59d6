"""Several devices in one process: with an exchange all replicas stay alike, without one each goes its own way."""

from __future__ import annotations

import json
import subprocess
import sys

# Logical devices can be made only before TensorFlow works, which it does already in the process of the tests.
PROGRAM = """
import json
import numpy as np
from gpuprobe.measure.compiled import compiled
from gpuprobe.backends.backend import current
from gpuprobe.measure.devices import halve_gradients, make_devices, scope, with_learning_rate
from gpuprobe.strategies.plan import Plan
from gpuprobe.workloads.workload import Workload
import keras

def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])

names = make_devices(2)
x = np.arange(64, dtype="float32").reshape(16, 4) / 64
told = {"devices": names}
for exchange in (True, False):
    workload = Workload(model=model, data=(x, x[:, :1]), loss="mse", optimizer=lambda: keras.optimizers.SGD(0.1))
    plan = Plan(feed="arrays", batch_size=8, replicas=2, exchange=exchange)
    with scope(plan, names):
        made, seen = compiled(workload, plan, current())
    with_learning_rate(workload, made, 2.0)
    made.fit(x, x[:, :1], batch_size=8, shuffle=False, verbose=0)
    first, second = (copy.numpy() for copy in made.layers[0].kernel.value.values)
    settings = current().settings(made, 8, "float32")
    told[str(exchange)] = {
        "alike": bool(np.allclose(first, second)),
        "rate": float(keras.ops.convert_to_numpy(made.optimizer.learning_rate)),
        "batch_of_each": seen["batch_size"],
        "replicas": settings.replicas,
        "bytes": settings.trainable_mib * 2**20,
        "told": settings.distribution_devices,
    }

class Seeing(keras.optimizers.SGD):
    def update_step(self, gradient, variable, rate):
        widths.add(gradient.dtype.name)
        super().update_step(gradient, variable, rate)

trained = {}
for half in (False, True):
    widths = set()
    keras.utils.set_random_seed(1)
    workload = Workload(model=model, data=(x, x[:, :1]), loss="mse", optimizer=lambda: Seeing(0.1))
    plan = Plan(feed="arrays", batch_size=8, replicas=2, half_gradients=half)
    with scope(plan, names):
        made, _ = compiled(workload, plan, current())
    if half:
        halve_gradients(made)
    made.fit(x, x[:, :1], batch_size=8, epochs=3, shuffle=False, verbose=0)
    first, second = (copy.numpy() for copy in made.layers[0].kernel.value.values)
    trained[half] = first
    told["half" if half else "whole"] = [sorted(widths), bool((first == second).all()), first.dtype.name]
told["apart"] = float(np.abs(trained[True] - trained[False]).max())
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))
alone = model()
alone.compile("sgd", "mse")
alone.fit(x, x[:, :1], verbose=0)
named = current().settings(alone, 8, "float32").distribution_devices
told["distribution"] = [named, len({weight.value.device for weight in alone.weights})]
print(json.dumps(told))
"""


def test_replicas_share_a_batch_and_their_gradients() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["devices"] == ["/cpu:0", "/cpu:1"]
    for exchange, alike in (("True", True), ("False", False)):
        found = told[exchange]
        assert found["alike"] is alike
        assert abs(found["rate"] - 0.2) < 1e-6
        # Four weights and a bias of four bytes.
        assert (found["batch_of_each"], found["replicas"], found["bytes"]) == (4, 2, 20)
        assert found["told"] == 0
    # What is exchanged is narrower, and the weights are as wide as before and nearly the same.
    assert told["whole"] == [["float32"], True, "float32"]
    assert told["half"] == [["float16"], True, "float32"]
    assert 0 < told["apart"] < 1e-3
    # Two devices are named, and all weights are on one.
    assert told["distribution"] == [2, 1]
