"""What the real trainings of the lab are put together from: models, data, loops, and the flaws that several share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gpuprobe
from gpuprobe.keras import Probe

SIDE, CLASSES, BATCH = 32, 10, 64
# An epoch that holds the settling, a timed window of the fewest calls, and the steps of a trace.
STEPS, EPOCHS = 18, 2
# Where each step compiles, these are enough.
FEW = 8
# Within an epoch, past the call that builds the graph and those that fill buffers.
IN_EPOCH = 5
SLEEP_S = 0.08


def network() -> keras.Model:
    """Return a small convolutional network, some 15 ms a step of 64 samples on two cores."""
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )


def dense(width: int = 512) -> keras.Model:
    """Return dense layers on flattened images."""
    layers = [keras.layers.Dense(width, activation="relu") for _ in range(3)]
    return keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten(), *layers, keras.layers.Dense(CLASSES)]
    )


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(model: keras.Model, **settings: Any) -> keras.Model:
    """Compile as a user would; XLA only where it is asked for."""
    model.compile("adam", LOSS, **{"jit_compile": False, **settings})
    return model


def arrays(count: int = BATCH * STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and classes."""
    random = np.random.default_rng(0)
    return random.random((count, SIDE, SIDE, 3), np.float32), random.integers(0, CLASSES, count)


def images(batch: int = BATCH, steps: int = STEPS) -> tf.data.Dataset:
    """Return one epoch of batches that cost next to nothing to make."""
    x, y = arrays(batch)
    return tf.data.Dataset.from_tensors((x, y)).repeat(steps)


WISHES = ("trace_at", "trace_steps")


def fit(out: Path, model: keras.Model, data: Any, *, callbacks: Any = (), epochs: int = EPOCHS, **given: Any) -> None:
    """Train with the callback that users add; traced in the second epoch, however unsteady the machine."""
    wishes = {"trace_at": STEPS + IN_EPOCH} | {name: given.pop(name) for name in WISHES if name in given}
    probe = Probe(out, name="lab", verbose=False, **wishes)
    model.fit(data, epochs=epochs, verbose=0, callbacks=[probe, *callbacks], **given)


def loop(out: Path, step: Callable[[int], Any], *, steps: int = STEPS, **wishes: Any) -> None:
    """Run a loop of one's own inside `gpuprobe.window`."""
    with gpuprobe.window("lab", out=out, batch_size=BATCH, trace_at=steps // 4, verbose=False, **wishes) as probe:
        for number in range(steps):
            step(number)
            probe.step()


def updating(model: keras.Model, **settings: Any) -> Any:
    """Return a training step of one's own as a tf.function."""
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)

    def update(x: Any, y: Any, scale: Any = 1.0) -> Any:
        with tf.GradientTape() as tape:
            loss = scale * LOSS(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return tf.function(update, **settings)


def sleeping(x: Any, y: Any) -> Any:
    """Take a while over a batch, as a slow disk, a decoder or a remote store does."""

    def sleep(label: np.ndarray) -> np.ndarray:
        time.sleep(SLEEP_S)
        return label

    return x, tf.ensure_shape(tf.numpy_function(sleep, [y], tf.int64), y.shape)


def python_work(count: int) -> float:
    """Compute in Python itself, as hand-written augmentation does."""
    total = 0.0
    for place in range(count):
        total += (place % 7) * 0.5
    return total


PYTHON_LOOPS = 2_000_000
