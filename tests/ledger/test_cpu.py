"""Real training on the processor, traced as a run is: what sleeps on purpose must turn up in the breakdown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from gpuprobe.backends.backend import current
from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.run_phases import RunPhases
from gpuprobe.measure.train_function import TimedTrainFunction
from gpuprobe.records import RunSpec
from gpuprobe.traces.read import read
from tests.helpers.gates import OpenGate, nothing
from tests.helpers.timelines import Made

# Long beside what Keras itself does in and between steps of so small a model, on a busy machine too.
SLEEP_S = 0.15
# A sleep may take longer than it was asked to, and what is still computed at its beginning is no idling.
LEAST_MS = 0.9 * 1000 * SLEEP_S
TRACED = 6
BATCH = 16


def traced(folder: Path) -> keras.Model:
    """Return a model that stops when a few of its steps are traced."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=loss, jit_compile=False)
    spec = RunSpec(strategy="numpy", round=1, seed=0, batch_size=BATCH, steps=3, trace_steps=TRACED)
    log = EventLog(folder)
    log.write("phase", name="warmup")
    TimedTrainFunction(
        RunPhases(spec, 1, trace=True), current(), log, folder / "trace", BATCH, OpenGate(folder), nothing
    ).attach(model)
    return model


def batches() -> tf.data.Dataset:
    x, y = np.zeros((BATCH, 8), "float32"), np.zeros(BATCH, "int32")
    return tf.data.Dataset.from_tensors((x, y)).repeat()


def diagnosis(folder: Path) -> Diagnosis:
    found = diagnose(Case(breakdown_of(read(folder))))
    assert [device.kind for device in found.devices] == ["cpu"]
    device = found.devices[0]
    # One more than is asked for, since the first pays for starting the profiler; fewer where steps take seconds.
    assert 2 <= device.steps <= TRACED + 1
    assert device.steps_from == "step markers"
    assert sum(device.ledger_ms.values()) == pytest.approx(device.step_ms, abs=1e-3)
    return found


def test_a_map_that_sleeps(tmp_path: Path) -> None:
    def slow(x: Any, y: Any) -> Any:
        def sleep(label: Any) -> Any:
            time.sleep(SLEEP_S)
            return label

        slept = tf.numpy_function(sleep, [y], tf.int32)
        slept.set_shape(y.shape)
        return x, slept

    model = traced(tmp_path)
    # Straight from the iterator: Keras's `fit` would prefetch, and hide a part of the sleep behind the step.
    iterator = iter(batches().map(slow))
    while not model.stop_training:
        model.train_function(iterator)
    found = diagnosis(tmp_path)
    assert found.devices[0].ledger_ms["idle_input"] >= LEAST_MS
    assert found.primary is not None
    assert found.primary.cause == "input_bound"
    assert found.hosts[0].slowest_iterator is not None
    assert found.hosts[0].slowest_iterator.endswith("Map")


def test_a_callback_that_sleeps(tmp_path: Path) -> None:
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(SLEEP_S))
    traced(tmp_path).fit(batches(), steps_per_epoch=50, epochs=1, verbose=0, callbacks=[callback])
    found = diagnosis(tmp_path)
    assert found.devices[0].ledger_ms["idle_between_steps"] >= LEAST_MS
    assert found.primary is not None
    assert found.primary.cause == "host_between_steps"


def test_jax_computes_while_python_has_gone_on() -> None:
    made = Made()
    for start in (0, 10, 20):
        made.host(start, start + 1, "train", step=start // 10)
        made.host(start + 0.5, start + 8, "ThunkExecutor::Execute", thread="tf_XLAEigen")
    (device,) = breakdown_of(made.timeline()).devices
    assert device.kind == "cpu"
    assert device.ledger_ms["cpu_compute"] == pytest.approx(7.5)
    assert device.ledger_ms["idle_between_steps"] == pytest.approx(2.0)
