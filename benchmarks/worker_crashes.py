"""How many jobs of three workers crash as their traces stop: stopped by TensorFlow alone, and by gpuprobe.

    python benchmarks/worker_crashes.py [--jobs 10] [--traces 60]

The jobs take turns: one whose workers call TensorFlow's profiler, then one whose workers trace as gpuprobe does
(`gpuprobe/backends/freed_events.py`). Each worker takes one short trace after the other, in a training with four
exchanges a step and an input that calls Python.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from typing import Any

from gpuprobe.measure.group import free_ports

WORKERS, VARIABLES, SIDE, STEPS, WARM_UP = 3, 4, 64, 6, 3
# A job that takes longer hangs. The others of a worker that crashed end soon after it, or are ended.
LIMIT_S, AFTER_CRASH_S = 180.0, 3.0


def train(traces: int, *, kept: bool) -> None:
    """Train as the worker that TF_CONFIG tells, and take so many traces."""
    import numpy as np
    import tensorflow as tf

    from gpuprobe.backends.freed_events import kept_events

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        weights = [tf.Variable(tf.eye(SIDE)) for _ in range(VARIABLES)]

    def of_replica(x: Any) -> None:
        with tf.GradientTape() as tape:
            y = x
            for weight in weights:
                y = y @ weight
            loss = tf.reduce_mean(tf.square(y))
        gradients = tf.distribute.get_replica_context().all_reduce("mean", tape.gradient(loss, weights))
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(1e-4 * gradient)

    @tf.function
    def step(iterator: Any) -> None:
        strategy.run(of_replica, args=(next(iterator),))

    def sleep(_: Any) -> Any:
        time.sleep(0.005)
        return np.float32(0)

    def prepare(x: Any) -> Any:
        slept = tf.numpy_function(sleep, [x[0, 0]], tf.float32)
        slept.set_shape(())
        return x + slept

    data = tf.data.Dataset.from_tensors(tf.ones([32, SIDE])).repeat()
    batches = iter(data.map(prepare, num_parallel_calls=4).prefetch(2))
    for _ in range(WARM_UP):
        step(batches)
    for _ in range(traces):
        with tempfile.TemporaryDirectory() as folder:
            tf.profiler.experimental.start(folder)
            for _ in range(STEPS):
                step(batches)
            with kept_events() if kept else nullcontext():
                tf.profiler.experimental.stop()


def crashed(traces: int, *, kept: bool) -> bool:
    """Let a job train; return whether a worker was ended by a signal. Raises TimeoutError where it hangs."""
    addresses = [f"localhost:{port}" for port in free_ports(WORKERS)]
    command = [sys.executable, __file__, "--train", "kept" if kept else "alone", "--traces", str(traces)]
    workers = []
    for index in range(WORKERS):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environ = {**os.environ, "TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3"}
        workers.append(subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL))
    until_s = time.monotonic() + LIMIT_S
    while any(worker.poll() is None for worker in workers):
        if any(worker.returncode for worker in workers):
            until_s = min(until_s, time.monotonic() + AFTER_CRASH_S)
        if time.monotonic() > until_s:
            break
        time.sleep(0.1)
    codes = [worker.poll() for worker in workers]
    for worker in workers:
        worker.kill()
        worker.wait()
    if not any(codes) and None in codes:
        raise TimeoutError(f"a job took more than {LIMIT_S:.0f} s")
    return any(code is not None and code < 0 for code in codes)


def main() -> None:
    """Let jobs of both kinds train, and print how many crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--traces", type=int, default=60)
    parser.add_argument("--train", choices=("kept", "alone"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(given.traces, kept=given.train == "kept")
        return
    counts = {False: 0, True: 0}
    for job in range(1, given.jobs + 1):
        for kept in counts:
            counts[kept] += crashed(given.traces, kept=kept)
        print(
            f"{job} jobs of each: {counts[False]} crashed with TensorFlow alone, {counts[True]} with gpuprobe",
            flush=True,
        )


if __name__ == "__main__":
    main()
