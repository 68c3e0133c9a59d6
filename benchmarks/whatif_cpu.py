"""How right what-if is on this processor: real trainings with a flaw, the prediction, and the training without it.

    python benchmarks/whatif_cpu.py [--models small,resnet20] [--rounds 3] [--blocks 5] [--seconds 0.25] [--held]

Each flaw computes, so that it and the model share the cores. A machine may be half as fast again a second later, so all
is measured in short windows that take turns: fix, flaw, fix, control, fix, flaw, and so on. What the fix really gives
is the median, over the blocks of a round, of its two windows around the flaw's over the flaw's own; the prediction is
from the trace and the median window of the same round. The A/A control is the fix once more in the flaw's place,
measured by the same method, and its truth is 1: no prediction can be better than that. With `--held` the flaws sleep
and a layer that sleeps stands for most of the model's work, which then takes as long however busy the machine is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from gpuprobe.models.resnet20 import resnet_v1

from gpuprobe import wording
from gpuprobe.ledger.breakdown import break_down
from gpuprobe.traces.read import read
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.run_facts import Known

if TYPE_CHECKING:
    from gpuprobe.whatif.records import Replay

BATCH, STEPS, TRACED, THREADS = 32, 8, 10, 2
# A window of fewer steps tells too little; a training is settled after so long.
FEWEST_STEPS, SETTLED_S = 4, 0.7
HELD_S, SLEEP_S = 0.04, 0.06
# Each flaw costs about this share of the model's own step.
FLAW_SHARE = 0.7
CALIBRATED_S = 0.3


class Held(keras.layers.Layer):
    """Hands on what it gets, after a while."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        def held(values: np.ndarray) -> np.ndarray:
            time.sleep(HELD_S)
            return values

        return tf.ensure_shape(tf.numpy_function(held, [x], tf.float32), x.shape)


def small(*, held: bool) -> keras.Model:
    """Return three convolutions."""
    layers = [keras.layers.Conv2D(width, 3, strides=2, activation="relu") for width in (32, 64, 64)]
    first = [Held()] if held else []
    return keras.Sequential(
        [keras.Input((32, 32, 3)), *first, *layers, keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    )


MODELS: dict[str, Callable[[bool], keras.Model]] = {
    "small": lambda held: small(held=held),
    "resnet20": lambda _held: resnet_v1(20),
}


def built(name: str, steps_per_execution: int = 1, *, held: bool = False) -> keras.Model:
    """Return a model that is ready to train."""
    keras.utils.set_random_seed(0)
    model = MODELS[name](held)
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile("adam", loss, jit_compile=False, steps_per_execution=steps_per_execution)
    model.make_train_function()
    return model


@dataclass(frozen=True)
class Flaw:
    """Work of a given length on one thread: in TensorFlow's operations, and in Python; or sleep for as long."""

    times: int
    loops: int
    held: bool

    def in_graph(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take a while over a batch, with the operations of a map."""
        if self.held:
            return x, tf.ensure_shape(tf.numpy_function(self._slept, [y], tf.int64), y.shape)
        for _ in range(self.times):
            x = tf.image.resize(tf.image.resize(x, (64, 64), "bicubic"), (32, 32), "bicubic")
        return x, y

    def in_python(self) -> None:
        """Take a while in Python, whose lock one thread holds at a time."""
        if self.held:
            time.sleep(SLEEP_S)
            return
        total = 0.0
        for place in range(self.loops):
            total += place % 7

    def _slept(self, values: np.ndarray) -> np.ndarray:
        time.sleep(SLEEP_S)
        return values


def calibrated(model: keras.Model, *, held: bool) -> Flaw:
    """Return the flaw that costs its share of this model's step on this machine."""
    step_s = Training(model, resident()).train(CALIBRATED_S)[0] / 1e3
    one, images = Flaw(1, 100_000, held=False), next(iter(resident()))
    mapped = tf.function(one.in_graph)
    return Flaw(
        max(1, round(FLAW_SHARE * step_s / _lasts(lambda: mapped(*images)))),
        max(1, round(FLAW_SHARE * step_s / _lasts(one.in_python) * one.loops)),
        held,
    )


def _lasts(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(5):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return max(median(times), 1e-6)


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return one batch."""
    random = np.random.default_rng(0)
    return random.random((BATCH, 32, 32, 3), np.float32), random.integers(0, 10, BATCH)


def resident() -> tf.data.Dataset:
    """One batch, made once."""
    return without_help(tf.data.Dataset.from_tensors(images()).cache().repeat())


def without_help(data: tf.data.Dataset) -> tf.data.Dataset:
    """Keep TensorFlow from putting a prefetch of its own behind it, or making it parallel."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return data.with_options(options)


def slow_map(flaw: Flaw, threads: int | None = None) -> tf.data.Dataset:
    """A map function that takes its time, asked for when the training wants a batch."""
    batch = tf.data.Dataset.from_tensors(images()).repeat()
    return without_help(batch.map(flaw.in_graph, num_parallel_calls=threads))


def python_feed(flaw: Flaw) -> tf.data.Dataset:
    """A generator that takes its time in Python."""

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        batch = images()
        while True:
            flaw.in_python()
            yield batch

    spec = (tf.TensorSpec((BATCH, 32, 32, 3)), tf.TensorSpec((BATCH,), tf.int64))
    return without_help(tf.data.Dataset.from_generator(batches, output_signature=spec))


class Training:
    """One way to train: a model's train function, its batches, and what is done after each call."""

    def __init__(
        self, model: keras.Model, data: tf.data.Dataset, after: Callable[[], None] | None = None, steps: int = 1
    ) -> None:
        self.function, self.batches, self.after, self.steps = model.train_function, iter(data), after, steps

    def call(self) -> None:
        self.function(self.batches)
        if self.after:
            self.after()

    def train(self, seconds: float) -> tuple[float, float]:
        """Train for a while; return the mean step in ms, and how many cores the process used meanwhile."""
        self.call()
        begin, used, calls = time.perf_counter(), time.process_time(), 0
        while (now := time.perf_counter()) - begin < seconds or calls * self.steps < FEWEST_STEPS:
            self.call()
            calls += 1
        return 1000 * (now - begin) / calls / self.steps, (time.process_time() - used) / (now - begin)

    def traced(self, step_ms: float, busy_cores: float) -> Replay:
        """Trace some calls and predict from them."""
        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            for number in range(TRACED):
                with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
                    self.function(self.batches)
                if self.after:
                    self.after()
            tf.profiler.experimental.stop()
            timeline = read(Path(folder))
        known = Known(untraced_step_ms=step_ms, cores=os.cpu_count(), busy_cores=busy_cores)
        return predict(break_down(timeline), known)


@dataclass(frozen=True)
class Round:
    """One prediction: steps in ms now, then by what-if and really, whether in range, and what the control gave."""

    now_ms: float
    predicted_ms: float
    measured_ms: float
    inside: bool
    control: float

    @property
    def error(self) -> float:
        return self.predicted_ms / self.measured_ms - 1


@dataclass(frozen=True)
class Windows:
    """The mean steps in ms of a round's windows, a block a row: the fix before, the flaw, the fix between, the control,
    the fix after; and how many cores the flaw's used.
    """

    steps_ms: np.ndarray
    cores: np.ndarray

    @classmethod
    def of(cls, flawed: Training, fixed: Training, wanted: argparse.Namespace) -> Windows:
        """Measure a round's windows; the fix after one block is the fix before the next."""
        made, cores, (before, _) = [], [], fixed.train(wanted.seconds)
        for _ in range(wanted.blocks):
            now, busy = flawed.train(wanted.seconds)
            between, control, after = (fixed.train(wanted.seconds)[0] for _ in range(3))
            made.append((before, now, between, control, after))
            cores.append(busy)
            before = after
        return cls(np.array(made), np.array(cores))

    @property
    def ratio(self) -> float:
        """The step with the fix over the step without it."""
        before, now, between, _, _ = self.steps_ms.T
        return float(np.median((before + between) / 2 / now))

    @property
    def control(self) -> float:
        """The same of the fix over itself."""
        _, _, between, again, after = self.steps_ms.T
        return float(np.median((between + after) / 2 / again))


def rounds(flawed: Training, fixed: Training, change: str, wanted: argparse.Namespace) -> tuple[list[Round], list[str]]:
    """Return what each round gave, and of those in which nothing was predicted why."""
    made, refused = [], []
    for _ in range(wanted.rounds):
        windows = Windows.of(flawed, fixed, wanted)
        now = float(np.median(windows.steps_ms[:, 1]))
        replay = flawed.traced(now, float(np.median(windows.cores)))
        found = replay.of(change)
        if found is None:
            reasons = [reason.reason for reason in replay.unpredicted if reason.change.startswith(change)]
            refused.append(replay.refused or "; ".join(reasons))
            continue
        really = now * windows.ratio
        made.append(Round(now, found.step_ms, really, found.low_ms <= really <= found.high_ms, windows.control))
    return made, refused


def told(made: list[Round], refused: list[str]) -> list[str]:
    """Return the cells of one row: medians over the rounds in which something was predicted."""
    if not made:
        return refused[:1]
    columns = [(one.now_ms, one.predicted_ms, one.measured_ms) for one in made]
    times = [wording.milliseconds(median(column)) for column in zip(*columns, strict=True)]
    error, worst = median(one.error for one in made), max((one.error for one in made), key=abs)
    controls = [1 / one.control - 1 for one in made]
    inside = f"{sum(one.inside for one in made)} of {len(made) + len(refused)}"
    return [
        *times,
        f"{error:+.1%}",
        f"{worst:+.1%}",
        inside,
        f"{median(controls):+.1%}",
        f"{max(controls, key=abs):+.1%}",
    ]


def main() -> None:
    """Print a table a model, and the errors over all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="small,resnet20")
    parser.add_argument("--rounds", type=int, default=3, help="predictions of each fix, each from a trace of its own")
    parser.add_argument("--blocks", type=int, default=5, help="blocks of windows a round")
    parser.add_argument(
        "--seconds", type=float, default=0.25, help=f"the shortest window; of {FEWEST_STEPS} steps at least"
    )
    parser.add_argument("--held", action="store_true")
    wanted = parser.parse_args()
    every: list[Round] = []
    nothing = 0
    print("| model | flaw | change | step now | predicted | measured | median error | worst | in range | A/A | worst |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in wanted.models.split(","):
        model, longer = built(name, held=wanted.held), built(name, STEPS, held=wanted.held)
        flaw = calibrated(model, held=wanted.held)
        ways = {
            "slow map": Training(model, slow_map(flaw)),
            "slow map, prefetch": Training(model, slow_map(flaw).prefetch(2)),
            f"slow map, {THREADS} threads, prefetch": Training(model, slow_map(flaw, THREADS).prefetch(2)),
            "Python feed": Training(model, python_feed(flaw).prefetch(2)),
            "callback": Training(model, resident(), flaw.in_python),
            f"callback, {STEPS} steps a call": Training(longer, resident(), flaw.in_python, STEPS),
            "resident": Training(model, resident()),
        }
        for way in ways.values():
            way.train(SETTLED_S)
        for flawed, change, fixed in (
            ("slow map", "input_free", "resident"),
            ("slow map", "prefetch", "slow map, prefetch"),
            ("slow map, prefetch", "input_free", "resident"),
            ("slow map, prefetch", "parallel_map", f"slow map, {THREADS} threads, prefetch"),
            ("Python feed", "input_free", "resident"),
            ("callback", "callbacks_removed", "resident"),
            ("callback", "steps_per_execution", f"callback, {STEPS} steps a call"),
        ):
            made, refused = rounds(ways[flawed], ways[fixed], change, wanted)
            every += made
            nothing += len(refused)
            cells = told(made, refused)
            print(f"| {' | '.join([name, flawed, change, *cells])} |", flush=True)
    print(f"\nNothing was predicted in {nothing} of {nothing + len(every)} rounds.")
    errors, controls = [abs(one.error) for one in every], [abs(1 / one.control - 1) for one in every]
    for what, found in (("predictions", errors), ("A/A control", controls)):
        tail = float(np.percentile(found, 90))
        print(f"\n{len(found)} {what}: median error {median(found):.1%}, 90th percentile {tail:.1%}")


if __name__ == "__main__":
    main()
