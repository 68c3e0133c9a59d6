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


def busy_machine(held: bool) -> Made:
    """Return six steps of 11 ms: 5 ms in operations, and twice 3 ms in which short ones run, or none is started."""
    made = Made()
    for step in range(6):
        at = 12.0 * step
        made.host(at, at + 11.2, "train", step=step).host(at, at + 11, "one_step_on_data")
        made.host(at, at + 11, "EagerLocalExecute: __inference_one_step_on_data_7").host(
            at, at + 11, "EagerKernelExecute"
        )
        for begin, end in ((0.0, 2.0), (5.0, 7.0), (10.0, 11.0)):
            made.host(at + begin, at + end, "model/dense/MatMul:MatMul", "tf_Compute")
            made.host(at + begin, at + end + (0.0 if held or end > 10 else 3.0), "ExecutorState::Process", "tf_Compute")
    return made


def test_a_function_that_waits_for_its_threads_starts_no_operations() -> None:
    (device,) = breakdown_of(busy_machine(held=True).timeline()).devices
    assert device.ledger_ms["cpu_dispatch"] == pytest.approx(0, abs=0.01)
    assert device.ledger_ms["unattributed"] == pytest.approx(6, abs=0.01)
    assert device.overhead_fraction == pytest.approx(0, abs=0.01)
    found = diagnose(Case(breakdown_of(busy_machine(held=True).timeline()))).primary
    assert found is not None
    assert found.cause != "batch_too_small"


def test_a_thread_that_starts_short_operations_is_at_work_without_events_of_them() -> None:
    (device,) = breakdown_of(busy_machine(held=False).timeline()).devices
    assert device.ledger_ms["cpu_dispatch"] == pytest.approx(6, abs=0.01)
    found = diagnose(Case(breakdown_of(busy_machine(held=False).timeline()))).primary
    assert found is not None
    assert found.cause == "batch_too_small"
