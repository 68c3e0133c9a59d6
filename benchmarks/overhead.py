"""What gpuprobe costs the training it measures: paired, interleaved blocks in one process, beside an A/A control.

    python benchmarks/overhead.py [--cycles 12] [--steps 40]

Every cycle trains the same compiled model for three blocks of the same steps: bare (`model.fit` alone), measured
(gpuprobe's clock around the train function, its sampler, and its parent process with the live view), and bare once
more, in rotating order. The ratio of rates measured/bare is printed with its 95 % interval, and the ratio bare/bare
beside it: the control, which shows what the machine's noise alone does. The CPU seconds of gpuprobe's own processes
while the measured blocks ran are printed as a share of one core. Tracing is off, as in a timed window.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import psutil
from scipy import stats

from gpuprobe.backends.backend import current
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.gate import Command, Gate
from gpuprobe.measure.run_phases import RunPhases
from gpuprobe.measure.train_function import TimedTrainFunction
from gpuprobe.recording import TELEMETRY_FILE, run_folder
from gpuprobe.records import RunSpec
from gpuprobe.telemetry import sampling
from gpuprobe.workloads.cifar import resnet_on_cifar
from gpuprobe.workloads.source import ArraySource, mapped, source
from gpuprobe.workloads.synthetic import synthetic

KINDS = ("bare", "measured", "control")
BATCH = 32
# The sampler is a Python interpreter; its start belongs to no window of a study, nor to a block here.
START_S = 1.5


class Open(Gate):
    """A gate at which nobody waits."""

    def wait(self) -> Command:
        return Command(number=1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cycles", type=int, default=12, help="how many times all three blocks are run")
    options.add_argument("--steps", type=int, default=40, help="steps a block")
    asked = options.parse_args()
    training = Training()
    training.block(20)
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu_s = measured_s = 0.0
    orders = itertools.cycle(itertools.permutations(KINDS))
    for cycle, order in zip(range(1, asked.cycles + 1), orders, strict=False):
        for kind in order:
            if kind == "measured":
                with observed(training) as spent:
                    rate = training.block(asked.steps)
                    cpu_s, measured_s = cpu_s + spent(), measured_s + asked.steps / rate
            else:
                rate = training.block(asked.steps)
            rates[kind].append(rate)
        print(f"cycle {cycle}: " + ", ".join(f"{kind} {rates[kind][-1] * BATCH:.1f} samples/s" for kind in KINDS))
    print_ratio("measured / bare", rates["measured"], rates["bare"])
    print_ratio("control: bare / bare", rates["control"], rates["bare"])
    print(f"gpuprobe's own processes: {cpu_s / measured_s:.1%} of one core while training ran")


def print_ratio(title: str, over: list[float], under: list[float]) -> None:
    logs = np.log(np.divide(over, under))
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
    low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    print(f"{title}: {middle:.3f}, 95 % interval {low:.3f} to {high:.3f} (n = {len(logs)} pairs)")


class Training:
    """One ResNet20 on arrays; `block` trains it and returns steps per second, as its user would see them."""

    def __init__(self) -> None:
        workload = resnet_on_cifar(synthetic(0, "made for this benchmark", train=4096, test=1))
        given = source(workload)
        assert isinstance(given, ArraySource)
        self.x, self.y = mapped(workload, given).rows(slice(None))
        self.model = workload.build()
        workload.compile(self.model, jit_compile=False, steps_per_execution=1)

    def block(self, steps: int) -> float:
        before, started = int(self.model.optimizer.iterations), time.perf_counter()
        self.model.fit(self.x, self.y, batch_size=BATCH, steps_per_epoch=steps, verbose=0)
        iterations = int(self.model.optimizer.iterations) - before
        return iterations / (time.perf_counter() - started)


@contextmanager
def observed(training: Training) -> Iterator[Any]:
    """Put all of gpuprobe around the model; give a function that tells the CPU seconds it has spent since then."""
    model: Any = training.model
    kept = model.train_function, model.reset_metrics
    with tempfile.TemporaryDirectory(prefix="gpuprobe-overhead-") as name, ExitStack() as stack:
        study = Path(name)
        folder = run_folder(study, 1, "numpy")
        folder.mkdir(parents=True)
        # The window never ends by itself: the block does.
        spec = RunSpec(strategy="numpy", round=1, seed=0, batch_size=BATCH, window_s=1e6, window_min_s=1e6)
        phases = RunPhases(spec, steps_per_call=1, trace=False)
        log = EventLog(folder)
        log.write("phase", name="warmup")
        timed = TimedTrainFunction(phases, current(), log, folder / "trace", BATCH, Open(folder), lambda: None)
        timed.attach(model)
        sampler = stack.enter_context(sampling(folder / TELEMETRY_FILE, os.getpid()))
        command = [sys.executable, str(Path(__file__).with_name("overhead_parent.py")), name]
        parent = subprocess.Popen(command, stdout=subprocess.PIPE)
        stack.callback(parent.wait)
        stack.callback(parent.kill)
        assert parent.stdout is not None
        parent.stdout.readline()
        time.sleep(START_S)
        processes = [psutil.Process(process.pid) for process in (sampler, parent)]
        before = sum(map(_cpu_s, processes))
        try:
            yield lambda: sum(map(_cpu_s, processes)) - before
        finally:
            model.train_function, model.reset_metrics = kept


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
