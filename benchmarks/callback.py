"""What the callback costs a training outside its traced steps. `python benchmarks/callback.py [--seconds 120]`

One process, one compiled model, and everything in turns: bare, with the Probe, with the Probe, bare, or the other way
round, by lot (ABBA: what the machine does in the course of four falls on both alike). Beside each four stand four as
the control, in which all are bare. Each four give one ratio; the interval is that of the median ratio over all fours,
by bootstrap. A rate of 1 is no cost; the claim is at least 0.99 on steps of a few milliseconds.

- The hooks: inside one `fit`, spans of some steps with the Probe's hooks at work or bypassed. A span is shorter than
  what else a machine does, which therefore falls on neighbours alike.
- The whole callback, sampler and all: blocks of a second or so, each a `fit` of its own, told by their median step.
  Beside it stands the CPU time of this process and of the sampler.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import psutil

import gpuprobe

BATCH = 32
# What takes turns with bare steps: the Probe, and, as the control, bare steps again.
KINDS = ("probe", "control")
# Steps of a span; its first is not counted.
SPAN = 33
WARM_ROUNDS = 5
FEWEST_FOURS = 3


def trained(units: int) -> tuple[keras.Model, np.ndarray]:
    """Return a compiled model whose step takes longer the more units it has, and what it trains on."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((BATCH * 4096, 64), np.float32)
    model = keras.Sequential(
        [keras.Input((64,)), *[keras.layers.Dense(units, "relu") for _ in range(3)], keras.layers.Dense(1)]
    )
    model.compile("adam", "mse", jit_compile=False)
    return model, x


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when each step ends, in both kinds of block alike, and ends the block after so many."""

    async_safe = True

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.ends_ns = steps, []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        # Called by the training's own thread; the ends are not, where Keras hands callbacks to another.
        self.ends_ns.append(time.perf_counter_ns())
        if len(self.ends_ns) > self.steps:
            self.model.stop_training = True


def block(model: keras.Model, x: np.ndarray, steps: int, out: str, kind: str) -> tuple[float, float]:
    """Train some steps; return the median step and the CPU time a step, the sampler's included, in seconds."""
    clock = Clock(steps)
    probe = [gpuprobe.keras.Probe(out, trace_steps=0, verbose=False)] if kind == "probe" else []
    me = psutil.Process()
    marks = {}

    class Mark(keras.callbacks.Callback):  # type: ignore[misc]
        """Takes the CPU time once the block is warm: what a Probe does at its begin and end is no step."""

        async_safe = True

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch in {warm, steps}:
                marks[batch] = cpu_s(me)

    warm = steps // 4
    model.fit(x, x[:, :1], batch_size=BATCH, verbose=0, callbacks=[*probe, clock, Mark()])
    steps_ns = np.diff(clock.ends_ns)[warm:]
    return float(np.median(steps_ns)) / 1e9, (marks[steps] - marks[warm]) / (steps - warm)


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of its children, the samplers."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


class Switch(keras.callbacks.Callback):  # type: ignore[misc]
    """Drives a Probe in spans of steps: hooks at work or bypassed, by a schedule; `spans` holds the seconds of each."""

    async_safe = True

    def __init__(self, probe: gpuprobe.keras.Probe, schedule: list[str]) -> None:
        super().__init__()
        self.probe, self.schedule, self.spans = probe, schedule, []
        self._done, self._began = 0, 0.0

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.probe.set_model(model)

    def set_params(self, params: Any) -> None:
        super().set_params(params)
        self.probe.set_params(params)

    def on_train_begin(self, logs: Any = None) -> None:
        self.probe.on_train_begin(logs)
        self._hooked = self.model.train_function
        self._bare = self._hooked.of_training

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.probe.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._done % SPAN == 0:
            now = time.perf_counter()
            if self._done:
                self.spans.append(now - self._began)
            if len(self.spans) == len(self.schedule):
                self.model.stop_training = True
                return
            # The first step of a span pays for the switch, and for what its hooks still have in no cache.
            self.model.train_function = self._hooked if self.schedule[len(self.spans)] == "probe" else self._bare
        if self._done % SPAN == 1:
            self._began = time.perf_counter()
        self._done += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.model.train_function is self._hooked:
            self.probe.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.probe.on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.model.train_function = self._hooked
        self.probe.on_train_end(logs)


def fours(random: np.random.Generator) -> list[tuple[str, tuple[str, ...]]]:
    """Return one four of each kind in an order drawn by lot: its kind, and what is trained one after the other."""
    drawn: list[tuple[str, tuple[str, ...]]] = []
    for kind in random.permutation(KINDS):
        outer, inner = ("bare", str(kind)) if random.random() < 1 / 2 else (str(kind), "bare")
        drawn.append((str(kind), (outer, inner, inner, outer)))
    return drawn


def ratio(order: tuple[str, ...], took: np.ndarray) -> np.ndarray:
    """Return how many times as long the bare two of a four took as the other two, by their logarithms."""
    sign = np.array([1.0 if what == "bare" else -1.0 for what in order])
    return np.exp(np.tensordot(sign, np.log(took), axes=1) / 2)


def spans(model: keras.Model, x: np.ndarray, many: int, out: str) -> tuple[dict[str, np.ndarray], float]:
    """Train so many fours of spans of each kind in one fit; return their ratios, and the seconds of a bare step."""
    random = np.random.default_rng(0)
    drawn = [four for _ in range(many) for four in fours(random)]
    warm = ["bare", *KINDS] * WARM_ROUNDS
    schedule = warm + [what for _, order in drawn for what in order]
    switch = Switch(gpuprobe.keras.Probe(out, trace_steps=0, verbose=False), schedule)
    steps = SPAN * len(schedule) + 1
    model.fit(x, x[:, :1], batch_size=BATCH, epochs=1 + steps * BATCH // len(x), verbose=0, callbacks=[switch])
    took = np.array(switch.spans[len(warm) :]) / (SPAN - 1)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for (kind, order), seconds in zip(drawn, took.reshape(-1, 4), strict=True):
        found[kind].append(float(ratio(order, seconds)))
    bare = np.array(schedule[len(warm) :]) == "bare"
    return {kind: np.array(values) for kind, values in found.items()}, float(np.median(took[bare]))


def said(name: str, ratios: np.ndarray) -> str:
    """Return the median ratio with its 95 % interval by bootstrap over the fours."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{name}: {np.median(ratios):.4f} (95 %: {low:.4f} to {high:.4f})"


def blocks(model: keras.Model, x: np.ndarray, steps: int, seconds: float, out: str) -> dict[str, np.ndarray]:
    """Train fours of blocks for so long; return the ratios of each kind, of the rate and of the CPU time."""
    random = np.random.default_rng(0)
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(found["probe"]) < FEWEST_FOURS:
        for kind, order in fours(random):
            found[kind].append(ratio(order, np.array([block(model, x, steps, out, what) for what in order])))
    return {kind: np.array(values) for kind, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to measure the spans, and the blocks")
    parser.add_argument("--units", type=int, default=512, help="width of the layers")
    parser.add_argument("--block", type=float, default=1.5, help="seconds of one block")
    asked = parser.parse_args()
    model, x = trained(asked.units)
    with tempfile.TemporaryDirectory() as out:
        block(model, x, 50, out, "bare")
        step_s, _ = block(model, x, 200, out, "bare")
        many = max(FEWEST_FOURS, round(asked.seconds / step_s / SPAN / 4 / len(KINDS)))
        hooks, bare_s = spans(model, x, many, out)
        callback = blocks(model, x, max(40, min(4000, round(asked.block / step_s))), asked.seconds, out)
    print(f"a bare step takes {1000 * bare_s:.2f} ms")
    print(f"{many} fours of spans of {SPAN - 1} steps, and as many bare ones")
    for kind, name in (("probe", "with the hooks"), ("control", "bare again (control)")):
        print(said(f"  rate {name}", hooks[kind]))
    print(f"{len(callback['probe'])} fours of blocks, and as many bare ones")
    for place, what in enumerate(("rate", "CPU time, bare over")):
        for kind, name in (("probe", "with the callback"), ("control", "bare again (control)")):
            print(said(f"  {what} {name}", callback[kind][:, place]))


if __name__ == "__main__":
    main()
