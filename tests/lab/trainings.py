"""Real trainings on the processor, each with a flaw put in on purpose, next to healthy ones.

Every one is watched as a user's is, by `gpuprobe.keras.Probe` or `gpuprobe.window`, and leaves a recording. What is put
in costs several times the rest of the step, so that its truth holds on a busy machine too; where a flaw sleeps, no
neighbour can make it look smaller than it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.lab.building import (
    BATCH,
    CLASSES,
    EPOCHS,
    FEW,
    IN_EPOCH,
    PYTHON_LOOPS,
    SIDE,
    SLEEP_S,
    STEPS,
    arrays,
    compiled,
    dense,
    fit,
    images,
    loop,
    network,
    python_work,
    sleeping,
    updating,
)


@dataclass(frozen=True)
class Training:
    """One real training: what was put in and, by `cause` and `stage`, what is wrong with it; `also` ties with that.

    `cause` is None where the recording holds too little for anyone to say. `why` is the reason for the cause. `fixed`
    names changes by their what-if, each with the training that is the same one without the flaw.
    """

    name: str
    flaw: str
    cause: str | None
    why: str
    train: Callable[[Path], None]
    stage: str | None = None
    also: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()


TRAININGS: list[Training] = []


def training(flaw: str, cause: str | None, **more: Any) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Put a training into the lab; its docstring's first line is why the cause is the cause."""

    def add(train: Callable[[Path], None]) -> Callable[[Path], None]:
        why = (train.__doc__ or "").strip().splitlines()[0]
        TRAININGS.append(Training(train.__name__, flaw, cause, why, train, **more))
        return train

    return add


# --- input -------------------------------------------------------------------------------------------------------


@training("slow map", "input_bound", stage="slow_map", fixed=(("input_free", "network_from_a_pipeline"),))
def slow_map_that_waits(out: Path) -> None:
    """The map takes 80 ms a batch, several times the step; a prefetch behind it cannot make that up."""
    fit(out, compiled(network()), images().map(sleeping).prefetch(2))


@training("slow map", "input_bound", stage="slow_map")
def slow_map_that_computes(out: Path) -> None:
    """Each image is blown up and shrunk again, one after the other, at several times the model's cost."""

    def augment(x: Any, y: Any) -> Any:
        return tf.image.resize(tf.image.resize(x, (640, 640), "bicubic"), (SIDE, SIDE)), y

    x, y = arrays(BATCH * 4)
    samples = tf.data.Dataset.from_tensor_slices((x, y)).repeat()
    fit(out, compiled(dense(128)), samples.map(augment).batch(BATCH, drop_remainder=True).take(STEPS).prefetch(1))


@training("Python feed", "input_bound", stage="python_feed")
def generator_in_python(out: Path) -> None:
    """A generator computes in Python for every batch, which holds the one lock that the feed needs."""
    x, y = arrays(BATCH)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _ in range(STEPS * EPOCHS + EPOCHS):
            yield x * np.float32(1 + 0 * python_work(PYTHON_LOOPS)), y

    fit(out, compiled(dense(128)), batches(), steps_per_epoch=STEPS)


@training("Python feed", "input_bound", stage="python_feed")
def pydataset_in_python(out: Path) -> None:
    """A `PyDataset` makes each batch in Python with a single worker."""

    class Slow(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return STEPS

        def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
            x, y = arrays(BATCH)
            return x * np.float32(1 + 0 * python_work(PYTHON_LOOPS)), y

    fit(out, compiled(dense(128)), Slow(workers=1))


@training("cold cache", "input_bound", stage="cold_cache")
def cache_in_memory_in_the_first_epoch(out: Path) -> None:
    """The first epoch fills the cache through a slow map; from the second on nothing of it is left."""
    fit(out, compiled(network()), images().map(sleeping).cache().prefetch(2), trace_at=IN_EPOCH)


@training("cold cache", "input_bound", stage="cold_cache")
def cache_on_disk_in_the_first_epoch(out: Path) -> None:
    """The same with a cache in a file and no prefetch behind it."""
    data = images().map(sleeping).cache(str(out.parent / "cache"))
    fit(out, compiled(dense()), data, trace_at=IN_EPOCH)


# --- between steps -----------------------------------------------------------------------------------------------


@training("callback", "host_between_steps", fixed=(("callbacks_removed", "network_from_a_pipeline"),))
def callback_that_waits(out: Path) -> None:
    """A callback waits 80 ms after each batch, as one does that reports to a server."""
    report = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(SLEEP_S))
    fit(out, compiled(network()), images().prefetch(2), callbacks=[report])


@training("callback", "host_between_steps")
def callback_that_computes(out: Path) -> None:
    """A callback sorts all weights after each batch for the sake of a histogram."""
    model = compiled(dense(1024))

    def histogram(batch: int, logs: Any) -> None:
        for weight in model.get_weights():
            np.percentile(weight, [1, 25, 50, 75, 99])
            np.sort(weight, axis=None)

    fit(out, model, images(16).prefetch(2), callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=histogram)])


@training("sync every step", "host_between_steps", also=("sync_every_step",))
def weights_read_after_every_step(out: Path) -> None:
    """All weights are brought to Python after each step; on a processor that is no wait for a device but a copy."""
    model = dense(2048)
    step = updating(model)
    x, y = (tf.constant(part) for part in arrays(1))

    def read(_number: int) -> None:
        step(x, y)
        for _ in range(6):
            sum(float(np.abs(weight.numpy()).sum()) for weight in model.trainable_variables)

    loop(out, read)


@training("sync every step", "host_between_steps", also=("sync_every_step",))
def loss_printed_after_every_step(out: Path) -> None:
    """The loss of each step is read and sent somewhere that takes its time, before the next step may begin."""
    step = updating(network())
    x, y = (tf.constant(part) for part in arrays(BATCH))

    def read(_number: int) -> None:
        loss = step(x, y)
        assert np.isfinite(float(loss))
        time.sleep(SLEEP_S)

    loop(out, read)


# --- graphs ------------------------------------------------------------------------------------------------------


@training("retracing", "eager_or_retracing", also=("recompiling",))
def python_number_as_argument(out: Path) -> None:
    """A learning-rate scale goes in as a Python number, so that each value builds the graph anew."""
    step = updating(network())
    x, y = (tf.constant(part) for part in arrays(BATCH))
    loop(out, lambda number: step(x, y, 1.0 + number))


@training("retracing", "eager_or_retracing", also=("recompiling",))
def batches_of_every_size(out: Path) -> None:
    """Each batch has another size, and the function was told not to relax its shapes."""
    step = updating(network(), reduce_retracing=False)
    x, y = arrays(BATCH)
    loop(out, lambda number: step(x[: BATCH - number], y[: BATCH - number]))


@training("retracing", "eager_or_retracing")
def run_eagerly(out: Path) -> None:
    """Keras runs the step operation by operation."""
    fit(out, compiled(dense(64), run_eagerly=True), images(4).prefetch(2))


@training("recompiling", "recompiling", also=("eager_or_retracing",))
def xla_with_batches_of_every_size(out: Path) -> None:
    """XLA compiles once a shape, and every batch has another."""
    step = updating(dense(32), jit_compile=True)
    x, y = arrays(BATCH)
    loop(out, lambda number: step(x[: BATCH - number], y[: BATCH - number]), steps=FEW, trace_steps=FEW // 2)


@training("recompiling", "recompiling", also=("eager_or_retracing",))
def fit_with_xla_and_batches_of_every_size(out: Path) -> None:
    """The same with `fit`, whose function is traced once and compiled again for each size."""
    x, y = arrays(BATCH)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(FEW):
            yield x[: BATCH - number], y[: BATCH - number]

    shapes = (tf.TensorSpec((None, SIDE, SIDE, 3)), tf.TensorSpec((None,), tf.int64))
    data = tf.data.Dataset.from_generator(batches, output_signature=shapes).prefetch(2)
    fit(out, compiled(dense(32), jit_compile=True), data, epochs=1, trace_at=2, trace_steps=FEW // 2)


# --- the batch ---------------------------------------------------------------------------------------------------


@training("tiny batch", "batch_too_small")
def two_samples_through_dense_layers(out: Path) -> None:
    """Each of many narrow layers costs more to start than to compute for two samples."""
    layers = [keras.layers.Dense(16, activation="relu") for _ in range(48)]
    model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(CLASSES)])
    random = np.random.default_rng(0)
    batch = random.random((2, 8), np.float32), random.integers(0, CLASSES, 2)
    fit(out, compiled(model), tf.data.Dataset.from_tensors(batch).repeat(STEPS).prefetch(2))


@training("tiny batch", "batch_too_small")
def one_text_through_a_recurrent_layer(out: Path) -> None:
    """One short text goes word by word through a narrow recurrent layer: hundreds of operations of no size."""
    layers = [keras.layers.Embedding(50, 8), keras.layers.LSTM(8), keras.layers.Dense(CLASSES)]
    model = keras.Sequential([keras.Input((24,), dtype="int32"), *layers])
    random = np.random.default_rng(0)
    batch = random.integers(0, 50, (1, 24), np.int32), random.integers(0, CLASSES, 1)
    fit(out, compiled(model), tf.data.Dataset.from_tensors(batch).repeat(STEPS).prefetch(2))


# --- healthy -----------------------------------------------------------------------------------------------------


@training("none", "compute_bound")
def network_from_a_pipeline(out: Path) -> None:
    """Batches lie ready, and the network takes the time."""
    fit(out, compiled(network()), images().prefetch(2))


@training("none", "compute_bound")
def dense_layers_from_arrays(out: Path) -> None:
    """Keras feeds arrays through tf.data itself."""
    x, y = arrays(BATCH * 4 * STEPS)
    fit(out, compiled(dense(1024)), x, y=y, batch_size=BATCH * 4)


@training("none", "compute_bound")
def xla_with_one_shape(out: Path) -> None:
    """XLA compiles in the first call and never again."""
    fit(out, compiled(network(), jit_compile=True), images().prefetch(2))


@training("none", "compute_bound")
def cache_that_is_warm(out: Path) -> None:
    """The slow map was paid for in the first epoch, and the second is traced."""
    fit(out, compiled(network()), images().map(sleeping).cache().prefetch(2))


@training("none", "compute_bound")
def loss_read_after_every_step(out: Path) -> None:
    """Reading a loss waits for nothing on a processor, whose work is done when the call returns."""
    step = updating(network())
    x, y = (tf.constant(part) for part in arrays(BATCH * 2))
    loop(out, lambda _number: float(step(x, y)))


@training("none", "compute_bound")
def light_callback(out: Path) -> None:
    """A callback that adds up the losses costs nothing worth a word."""
    seen: list[float] = []
    add = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    fit(out, compiled(network()), images(BATCH * 2).prefetch(2), callbacks=[add])


# --- nobody can tell ---------------------------------------------------------------------------------------------


@training("slow map, untraced", None)
def nothing_traced(out: Path) -> None:
    """Step times alone say that it is slow, and not why."""
    fit(out, compiled(network()), images().map(sleeping).prefetch(2), trace_steps=0)
