"""What the callback costs a training outside its traced steps. `python benchmarks/callback.py [--seconds 120]`

One process, one compiled model. Blocks of a second or so of one long `fit` follow each other in triples, each in random
order: bare, with the Probe's hooks and sampler at work, and bare again as the control. A block's rate is told by its
median step, so that what else the machine does in between weighs little; each triple gives one ratio with and one for
the control, and the interval is that of the median ratio over the triples, by bootstrap. Beside it stands the CPU time
of this process and of the sampler, and the time that the hooks take on one step, measured alone.

A rate of 1 is no cost; the claim is at least 0.99 on steps of a few milliseconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import psutil

import gpuprobe

BATCH = 32
KINDS = ("bare", "probe", "control")


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


def hooks_us(out: str) -> float:
    """Return the microseconds that the hooks take on a step that does nothing, by the best of many rounds."""

    class Nothing:
        train_function: Any = staticmethod(lambda _iterator: None)
        steps_per_execution, metrics, optimizer = 1, (), None

    model, probe = Nothing(), gpuprobe.keras.Probe(out, trace_steps=0, verbose=False)
    bare = model.train_function
    probe.set_model(model)
    probe.set_params({"steps": 1})
    probe._describe = lambda *_given: None  # type: ignore[method-assign]
    probe.on_train_begin()
    probe.on_epoch_begin(0)
    logs: dict[str, float] = {}

    def hooked() -> None:
        model.train_function(None)
        probe.on_train_batch_end(0, logs)

    best = {}
    for name, call in (("hooked", hooked), ("bare", lambda: bare(None))):
        rounds = []
        for _ in range(50):
            began = time.perf_counter_ns()
            for _ in range(1000):
                call()
            rounds.append((time.perf_counter_ns() - began) / 1000)
        best[name] = min(rounds) / 1000
    probe.on_train_end()
    return best["hooked"] - best["bare"]


def said(name: str, ratios: np.ndarray) -> str:
    """Return the median ratio with its 95 % interval by bootstrap over the triples."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return f"{name}: {np.median(ratios):.4f} (95 %: {low:.4f} to {high:.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to measure")
    parser.add_argument("--units", type=int, default=512, help="width of the layers")
    parser.add_argument("--block", type=float, default=1.5, help="seconds of one block")
    asked = parser.parse_args()
    model, x = trained(asked.units)
    random = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as out:
        block(model, x, 50, out, "bare")
        step_s, _ = block(model, x, 200, out, "bare")
        steps = max(40, min(4000, round(asked.block / step_s)))
        until = time.monotonic() + asked.seconds
        while time.monotonic() < until or len(found["bare"]) < 3:
            for kind in random.permutation(KINDS):
                found[kind].append(block(model, x, steps, str(Path(out)), kind))
        alone_us = hooks_us(out)
    took = {kind: np.array(values) for kind, values in found.items()}
    middle_s = float(np.median(took["bare"][:, 0]))
    print(f"{len(took['bare'])} triples of blocks of {steps} steps; a bare step takes {1000 * middle_s:.2f} ms")
    for place, what in enumerate(("rate", "CPU time")):
        for kind, name in (("probe", "with the callback"), ("control", "bare again (control)")):
            ratios = took["bare"][:, place] / took[kind][:, place]
            print(said(f"{what}, bare over {name}" if place else f"{what} {name}", ratios))
    print(f"the hooks alone: {alone_us:.1f} us a step, {100 * alone_us / 1e6 / middle_s:.2f} % of it")


if __name__ == "__main__":
    main()
