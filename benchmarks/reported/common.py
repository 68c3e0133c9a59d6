"""What the scripts of this folder share: their two arguments, and a clock over the steady part of the work."""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

FLAWED = sys.argv[1:2] != ["fixed"]


def count(flawed: int, fixed: int) -> int:
    """Return how many units of work to do: the second argument, else the usual number of the twin that runs."""
    return int(sys.argv[2]) if len(sys.argv) > 2 else flawed if FLAWED else fixed


class Meter:
    """The time of a unit of work, without the first tenth of them."""

    def __init__(self, total: int) -> None:
        self._skipped, self._done = max(1, total // 10), 0
        self._began = self._base = 0.0

    def tick(self, units: int = 1) -> None:
        self._done += units
        if not self._began and self._done >= self._skipped:
            self._began, self._base = time.perf_counter(), self._done

    def say(self) -> None:
        units = self._done - self._base
        each_ms = 1000 * (time.perf_counter() - self._began) / max(1, units)
        print(f"{'flawed' if FLAWED else 'fixed'}: {each_ms:.3f} ms a unit, {units:.0f} units", flush=True)


class Ticker(keras.callbacks.Callback):  # type: ignore[misc]
    """Counts batches, or epochs."""

    def __init__(self, meter: Meter, *, epochs: bool = False) -> None:
        super().__init__()
        self._meter, self._epochs = meter, epochs

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if not self._epochs:
            self._meter.tick()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        if self._epochs:
            self._meter.tick()


def dense(inputs: int, units: int, layers: int = 2, outputs: int = 1) -> keras.Model:
    """Return a small network that is not compiled yet."""
    hidden = [keras.layers.Dense(units, "relu") for _ in range(layers)]
    return keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(outputs)])
