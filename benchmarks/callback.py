"""What the callback costs: the same epochs with and without it, in turn. `python benchmarks/callback.py [PAIRS]`.

Prints the ratio of the rates (1 is no cost; below 1 the callback costs), its 95 % interval over the pairs, and the same
for one that does nothing, which tells how far this machine's noise reaches. The traced steps are left out.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time

import keras
import numpy as np
from scipy import stats

import gpuprobe

STEPS, BATCH, EPOCHS = 100, 32, 3


class Clock:
    """Two callbacks, one in front of all others and one behind: the time of an epoch, what callbacks cost included."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began = 0.0

    def callbacks(self, between: list[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda _epoch, _logs: self._begin())
        end = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: self._end())
        return [begin, *between, end]

    def _begin(self) -> None:
        self._began = time.perf_counter()

    def _end(self) -> None:
        self.seconds.append(time.perf_counter() - self._began)


def epoch_s(model: keras.Model, x: np.ndarray, y: np.ndarray, between: list[keras.callbacks.Callback]) -> float:
    clock = Clock()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=clock.callbacks(between))
    # The first epoch of a fit makes its iterator, and the probe's session looks at the first call.
    return min(clock.seconds[1:])


def said(name: str, ratios: list[float]) -> str:
    logs = [math.log(ratio) for ratio in ratios]
    half = stats.t.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    middle = statistics.fmean(logs)
    low, high = math.exp(middle - half), math.exp(middle + half)
    return f"{name}: ratio {math.exp(middle):.4f} (95 %: {low:.4f} to {high:.4f}), n {len(ratios)}"


def main(pairs: int) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((STEPS * BATCH, 64), np.float32)
    y = x[:, :1]
    model = keras.Sequential(
        [keras.Input((64,)), *[keras.layers.Dense(512, "relu") for _ in range(3)], keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    epoch_s(model, x, y, [])
    with_probe, with_nothing = [], []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(pairs):
            plain = epoch_s(model, x, y, [])
            probed = epoch_s(model, x, y, [gpuprobe.keras.Probe(out, trace_steps=0, verbose=False)])
            nothing = epoch_s(model, x, y, [keras.callbacks.Callback()])
            with_probe.append(plain / probed)
            with_nothing.append(plain / nothing)
    print(f"a step takes {1000 * plain / STEPS:.2f} ms without it")
    print(said("with the callback", with_probe))
    print(said("with one that does nothing", with_nothing))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
