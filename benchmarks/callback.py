"""What the callback costs a training outside its traced steps. `python benchmarks/callback.py [--seconds 120]`

One process, one compiled model, and everything in triples, each in random order: bare, with the Probe, and bare again
as the control. Each triple gives one ratio with and one for the control; the interval is that of the median ratio over
the triples, by bootstrap. A rate of 1 is no cost; the claim is at least 0.99 on steps of a few milliseconds.

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
KINDS = ("bare", "probe", "control")
# Steps of a span; its first is not counted.
SPAN = 33
WARM_TRIPLES = 5


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


def spans(model: keras.Model, x: np.ndarray, triples: int, out: str) -> dict[str, np.ndarray]:
    """Train so many triples of spans in one fit; return the seconds of a step in each, by its kind."""
    random = np.random.default_rng(0)
    schedule = [str(kind) for _ in range(triples) for kind in random.permutation(KINDS)]
    # The first triples are warm-up.
    warm = [str(kind) for _ in range(WARM_TRIPLES) for kind in KINDS]
    switch = Switch(gpuprobe.keras.Probe(out, trace_steps=0, verbose=False), warm + schedule)
    steps = SPAN * len(switch.schedule) + 1
    model.fit(x, x[:, :1], batch_size=BATCH, epochs=1 + steps * BATCH // len(x), verbose=0, callbacks=[switch])
    took = np.array(switch.spans[len(warm) :]) / (SPAN - 1)
    return {kind: took[np.array(schedule) == kind] for kind in KINDS}


def said(name: str, ratios: np.ndarray) -> str:
    """Return the median ratio with its 95 % interval by bootstrap over the triples."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{name}: {np.median(ratios):.4f} (95 %: {low:.4f} to {high:.4f})"


def blocks(model: keras.Model, x: np.ndarray, steps: int, seconds: float, out: str) -> dict[str, np.ndarray]:
    """Train triples of blocks for so long; return what `block` does for each, by its kind."""
    random = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(found["bare"]) < 3:
        for kind in random.permutation(KINDS):
            found[kind].append(block(model, x, steps, out, str(kind)))
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
        alternated = spans(model, x, max(3, round(asked.seconds / step_s / SPAN / len(KINDS))), out)
        took = blocks(model, x, max(40, min(4000, round(asked.block / step_s))), asked.seconds, out)
    print(f"a bare step takes {1000 * np.median(alternated['bare']):.2f} ms")
    print(f"{len(alternated['bare'])} triples of spans of {SPAN - 1} steps")
    for kind, name in (("probe", "with the hooks"), ("control", "bare again (control)")):
        print(said(f"  rate {name}", alternated["bare"] / alternated[kind]))
    print(f"{len(took['bare'])} triples of blocks")
    for place, what in enumerate(("rate", "CPU time, bare over")):
        for kind, name in (("probe", "with the callback"), ("control", "bare again (control)")):
            print(said(f"  {what} {name}", took["bare"][:, place] / took[kind][:, place]))


if __name__ == "__main__":
    main()
