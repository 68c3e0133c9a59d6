"""One short training with a flaw put in, under a Probe; in Keras alone, for any backend.

    python benchmarks/gpu_flaws.py NAME OUT
    python benchmarks/gpu_flaws.py time OUT SECONDS

`gpu.py` starts each in a process of its own. What is put in costs several times the rest of the step on a usual GPU, or
sleeps; `gpu_expected.py` says what it must be called there. On a processor all is smaller: there it is tried, and
proves nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from gpu_expected import EXPECTED
from keras import layers

import gpuprobe

Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def on_gpu() -> bool:
    device = keras.backend.backend()
    if device == "jax":
        import jax

        return bool(jax.default_backend() == "gpu")
    if device == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


ON_GPU = on_gpu()
STEPS, TRACED_AT, SLEEP_S = 150 if ON_GPU else 60, 20, 0.02
# A step that is compiled anew takes a second and more, so that there are fewer of them, and the trace begins sooner.
FEW, TRACED_OF_FEW = 16, 6
# Turns of the training whose steps are timed, and the steps of each that are not counted.
MOST_TURNS, UNCOUNTED = 6, 10
# The side of a large picture, how large a healthy batch is, and how many filters keep a device busy, or half busy.
WIDE, FULL, FILTERS, FEWER = (512, 128, 128, 32) if ON_GPU else (128, 32, 16, 4)

FLAWS: dict[str, Callable[[list[Any]], None]] = {}


def flaw(train: Callable[[list[Any]], None]) -> Callable[[list[Any]], None]:
    assert train.__name__ in EXPECTED
    FLAWS[train.__name__] = train
    return train


def batches(make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Batches:
    while True:
        yield make()


def ready(shape: tuple[int, ...], batch: int = 32) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    pair = random.standard_normal((batch, *shape), np.float32), random.integers(0, 10, batch)
    return lambda: pair


def convolutions(filters: int, depth: int, side: int = 32) -> keras.Model:
    middle = [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(depth)]
    return classifier([keras.Input((side, side, 3)), *middle, layers.GlobalAveragePooling2D()])


def deep(count: int, units: int = 16) -> keras.Model:
    return classifier([keras.Input((units,)), *(layers.Dense(units, activation="relu") for _ in range(count))])


def classifier(stack: list[Any], **compiling: Any) -> keras.Model:
    model = keras.Sequential([*stack, layers.Dense(10, activation="softmax", dtype="float32")])
    model.compile("adam", "sparse_categorical_crossentropy", **compiling)
    return model


def fit(model: keras.Model, data: Batches, callbacks: list[Any], steps: int = STEPS) -> None:
    model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=callbacks)


@flaw
def many_small_layers(callbacks: list[Any]) -> None:
    make = ready((16,))
    if keras.backend.backend() != "tensorflow":
        # Else copying a batch to the device would cost as much; TensorFlow's own generator feed copies in any case.
        pair = tuple(map(keras.ops.convert_to_tensor, make()))
        return fit(deep(60), batches(lambda: pair), callbacks)
    return fit(deep(60), batches(make), callbacks)


@flaw
def slow_generator(callbacks: list[Any]) -> None:
    make = ready((32, 32, 3))

    def slow() -> tuple[np.ndarray, np.ndarray]:
        time.sleep(SLEEP_S)
        return make()

    fit(convolutions(16, 2), batches(slow), callbacks)


@flaw
def wide_batches(callbacks: list[Any]) -> None:
    model = classifier([keras.Input((WIDE, WIDE, 3)), layers.GlobalAveragePooling2D()])
    fit(model, batches(ready((WIDE, WIDE, 3), 64)), callbacks)


@flaw
def reading_the_loss(callbacks: list[Any]) -> None:
    class Reads(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            for value in (logs or {}).values():
                float(value)

    fit(convolutions(FEWER, 3), batches(ready((32, 32, 3))), [Reads(), *callbacks])


@flaw
def sleeping_callback(callbacks: list[Any]) -> None:
    class Sleeps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            time.sleep(SLEEP_S)

    fit(convolutions(FEWER, 3), batches(ready((32, 32, 3))), [Sleeps(), *callbacks])


@flaw
def python_in_the_input(callbacks: list[Any]) -> None:
    make = ready((32, 32, 3))

    def working() -> tuple[np.ndarray, np.ndarray]:
        end_s = time.perf_counter() + SLEEP_S
        while time.perf_counter() < end_s:
            sum(number * number for number in range(1000))
        return make()

    fit(convolutions(16, 2), batches(working), callbacks)


@flaw
def a_shape_for_each_step(callbacks: list[Any]) -> None:
    random = np.random.default_rng(0)
    # Keras looks at some batches before the first step.
    sizes = iter(range(16, 16 + 2 * FEW))

    def other_size() -> tuple[np.ndarray, np.ndarray]:
        side = next(sizes)
        return random.standard_normal((8, side, side, 3), np.float32), random.integers(0, 10, 8)

    open_size = [keras.Input((None, None, 3)), layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    fit(classifier(open_size), batches(other_size), callbacks, steps=FEW)


@flaw
def healthy(callbacks: list[Any]) -> None:
    fit(convolutions(FILTERS, 4), batches(ready((32, 32, 3), FULL)), callbacks)


@flaw
def shared_card(callbacks: list[Any]) -> None:
    """The same, while a second process that `gpu.py` starts loads the card."""
    healthy(callbacks)


def load(seconds: float) -> None:
    """Multiply matrices until the time is over: a card at work."""
    square = keras.random.normal((4096, 4096)) if ON_GPU else keras.random.normal((512, 512))
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        product = keras.ops.matmul(square, square)
        keras.ops.convert_to_numpy(product[0, 0])


def main() -> None:
    name, out = sys.argv[1:3]
    if name == "load":
        load(float(out))
    elif name == "time":
        timed(out, float(sys.argv[3]))
    else:
        traced_at = TRACED_OF_FEW if name == "a_shape_for_each_step" else TRACED_AT
        FLAWS[name]([gpuprobe.keras.Probe(out, trace_at=traced_at)])


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when each step begins."""

    async_safe = True

    def on_train_begin(self, logs: Any = None) -> None:
        self.begins_s: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.begins_s.append(time.perf_counter())

    @property
    def step_ms(self) -> float:
        """The mean of the steps that count: a call may return before its step has ended, so no step stands alone."""
        begins_s = self.begins_s[UNCOUNTED:]
        return 1000 * (begins_s[-1] - begins_s[0]) / (len(begins_s) - 1)


def timed(out: str, seconds: float) -> None:
    """Print turn by turn what a step takes without and with the Probe (ms), while the time lasts; no trace is taken."""
    model, data = convolutions(FEWER, 3), batches(ready((32, 32, 3)))
    fit(model, data, [])
    end_s = time.monotonic() + seconds
    for turn in range(MOST_TURNS):
        step_ms = {}
        for kind in ("bare", "probed") if turn % 2 else ("probed", "bare"):
            clock = Clock()
            watching = [gpuprobe.keras.Probe(out, trace_steps=0, verbose=False)] if kind == "probed" else []
            fit(model, data, [clock, *watching])
            step_ms[kind] = clock.step_ms
        print(f"STEP_MS {step_ms['bare']:.4f} {step_ms['probed']:.4f}", flush=True)
        if time.monotonic() >= end_s:
            return


if __name__ == "__main__":
    main()
