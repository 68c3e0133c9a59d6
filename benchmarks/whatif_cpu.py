"""Real trainings on this processor: a flaw is injected, traced and predicted away, and then really taken away.

    python benchmarks/whatif_cpu.py [--rounds 7] [--seconds 1] [--busy] [--held]

Each flaw and its fix train the same model in turns, so that other work on the machine disturbs both alike.
Where others work there, a training that sleeps gets the processor at once when it wakes, and one that never sleeps must
share it: then `--busy` waits without sleeping, so that both have to share, and with `--held` a layer that sleeps stands
for most of the model's work, which then takes as long however busy the machine is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from gpuprobe import wording
from gpuprobe.diagnosis.whatif.known import Known
from gpuprobe.diagnosis.whatif.predict import predict
from gpuprobe.ledger.account import account_of
from gpuprobe.traces.read import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.diagnosis.whatif.records import Replay

BATCH, SLEEP_S, HELD_S, STEPS, TRACED = 128, 0.06, 0.04, 8, 10


def built(steps_per_execution: int = 1, *, held: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(width, 3, strides=2, activation="relu") for width in (16, 32, 32)]
    first = [Held()] if held else []
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), *first, *layers, keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False, steps_per_execution=steps_per_execution)
    model.make_train_function()
    return model


class Held(keras.layers.Layer):
    """Hands on what it gets, after a while."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        def held(values: np.ndarray) -> np.ndarray:
            slept(HELD_S)
            return values

        return tf.ensure_shape(tf.numpy_function(held, [x], tf.float32), x.shape)


def images() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.random((1024, 32, 32, 3), np.float32), random.integers(0, 10, 1024)


def resident() -> tf.data.Dataset:
    """One batch, made once."""
    x, y = images()
    return tf.data.Dataset.from_tensors((x[:BATCH], y[:BATCH])).cache().repeat()


def slept(seconds: float) -> None:
    time.sleep(seconds)


def spun(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def slow_map(wait: Callable[[float], None]) -> tf.data.Dataset:
    """A map function that takes its time, asked for when the training wants a batch."""

    def held(label: np.ndarray) -> np.ndarray:
        wait(SLEEP_S)
        return label

    def slow(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x, tf.ensure_shape(tf.numpy_function(held, [y], tf.int64), [BATCH])

    batches = tf.data.Dataset.from_tensor_slices(images()).repeat().batch(BATCH, drop_remainder=True)
    options = tf.data.Options()
    # TensorFlow would otherwise put a prefetch of its own behind it.
    options.experimental_optimization.inject_prefetch = False
    return batches.map(slow).with_options(options)


class Training:
    """One way to train: a model's train function, its batches, and a pause after each call."""

    def __init__(
        self, model: keras.Model, data: tf.data.Dataset, pause: Callable[[float], None] | None = None, steps: int = 1
    ) -> None:
        self.function, self.batches, self.pause, self.steps = model.train_function, iter(data), pause, steps

    def call(self) -> None:
        self.function(self.batches)
        if self.pause:
            self.pause(SLEEP_S)

    def train(self, seconds: float) -> float:
        """Train for a while and return the mean step in ms."""
        self.call()
        begin, calls = time.perf_counter(), 0
        while (now := time.perf_counter()) - begin < seconds:
            self.call()
            calls += 1
        return 1000 * (now - begin) / calls / self.steps

    def traced(self, untraced_step_ms: float) -> Replay:
        """Trace some calls and predict from them."""
        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            for number in range(TRACED):
                with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
                    self.function(self.batches)
                if self.pause:
                    self.pause(SLEEP_S)
            tf.profiler.experimental.stop()
            timeline = read(Path(folder))
        known = Known(untraced_step_ms=untraced_step_ms, cores=os.cpu_count())
        return predict(timeline, account_of(timeline), known)


def compare(flawed: Training, fixed: Training, change: str, wanted: argparse.Namespace) -> list[str]:
    """Return the cells of one row: medians over the rounds.

    In a round the flaw and its trace stand between two windows of the fix, since the machine may change meanwhile.
    """
    rows: list[tuple[float, ...]] = []
    for _ in range(wanted.rounds):
        before = fixed.train(wanted.seconds)
        now = flawed.train(wanted.seconds)
        replay = flawed.traced(now)
        made = replay.of(change)
        if made is None:
            reasons = [found.reason for found in replay.unpredicted if found.change.startswith(change)]
            return [replay.refused or "; ".join(reasons)]
        measured = (before + fixed.train(wanted.seconds)) / 2
        inside = made.low_ms <= measured <= made.high_ms
        rows.append((now, made.step_ms, measured, made.step_ms / measured - 1, float(inside)))
    now, step, measured, error, _ = (median(column) for column in zip(*rows, strict=True))
    worst = max((row[3] for row in rows), key=abs)
    inside = f"{sum(row[4] for row in rows):g} of {len(rows)}"
    times = [wording.milliseconds(value) for value in (now, step, measured)]
    return [*times, f"{error:+.1%}", f"{worst:+.1%}", inside]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--held", action="store_true")
    wanted = parser.parse_args()
    model, longer, wait = built(held=wanted.held), built(STEPS, held=wanted.held), spun if wanted.busy else slept
    ways = {
        "slow map": Training(model, slow_map(wait)),
        "slow map, prefetch": Training(model, slow_map(wait).prefetch(2)),
        "callback": Training(model, resident(), wait),
        "callback, 8 steps a call": Training(longer, resident(), wait, STEPS),
        "resident": Training(model, resident()),
    }
    for way in ways.values():
        way.train(wanted.seconds)
    print("| flaw | change | step now | predicted | measured | median error | worst | in range |")
    print("|---|---|---|---|---|---|---|---|")
    for flaw, change, fixed in (
        ("slow map", "input_free", "resident"),
        ("slow map", "prefetch", "slow map, prefetch"),
        ("slow map, prefetch", "input_free", "resident"),
        ("callback", "callbacks_removed", "resident"),
        ("callback", "steps_per_execution", "callback, 8 steps a call"),
    ):
        cells = [flaw, change, *compare(ways[flaw], ways[fixed], change, wanted)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
