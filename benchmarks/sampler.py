"""What the sampler costs, on a fake driver: its own CPU, its punctuality, its memory, and what training loses by it.

    python benchmarks/sampler.py                 about five minutes, all of it
    python benchmarks/sampler.py --pairs 0       without the paired training

The fake driver answers at once, so the time that a real one takes inside its calls is not in these figures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
from scipy import stats

from gpuprobe import telemetry

SOURCE = Path(__file__).parent.parent / "tests" / "helpers" / "nvml" / "fake_nvml.c"
CARD = """
name Fake GPU
used_mib 20000
reserved_mib 500
utilization 42
sample_s 0.16
energy_mw 61500
power_limit 120000
graphics_clock 1700
video_clock 1545
pstate 0
fan 40
pcie_gen 3
pcie_width 16
pcie_tx 2048
pcie_rx 102400
field.82 77
field.138 1024
field.139 2048
processes 1:33
process_sm 1:7
ecc_corrected 0
ecc_uncorrected 0
remapped 0
gpm 1
gpm.2 60
gpm.3 30
gpm.5 12
"""
# Small enough that the descent converges.
RATE = 1e-3
TRAINING_S = 3.0
TICK_S = 0.05
TICKS_OF_AN_HOUR = 72_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each cost is measured")
    parser.add_argument("--pairs", type=int, default=12, help="pairs of training with and without")
    parser.add_argument("--ticks", type=int, default=TICKS_OF_AN_HOUR, help="ticks of the memory test")
    asked = parser.parse_args()
    found: dict[str, object] = {"load_before": os.getloadavg()[0], "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fake_driver(folder)
        for gpus in (1, 8):
            found[f"gpus_{gpus}"] = cost(folder, gpus, asked.seconds)
        found["memory"] = memory(folder, asked.ticks)
        if asked.pairs:
            found["training"] = training(folder, asked.pairs)
    found["load_after"] = os.getloadavg()[0]
    print(json.dumps(found, indent=1))


def fake_driver(folder: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("a C compiler is needed for the fake driver")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", folder / "libnvidia-ml.so.1", SOURCE], check=True)
    os.environ["LD_LIBRARY_PATH"] = str(folder)
    os.environ["FAKE_NVML"] = str(folder / "card.txt")


def offer(folder: Path, gpus: int) -> None:
    (folder / "card.txt").write_text(CARD + f"devices {gpus}\n")


def cost(folder: Path, gpus: int, seconds: float) -> dict[str, float]:
    """Own CPU after the start, in percent of one core, and how far the ticks' intervals lie from their target."""
    offer(folder, gpus)
    path = folder / f"cost{gpus}.csv"
    with telemetry.sampling(path, os.getpid()) as sampler:
        process = psutil.Process(sampler.pid)
        time.sleep(3)
        before, start = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(seconds)
        cpu_s, wall_s = sum(process.cpu_times()[:2]) - before, time.monotonic() - start
    times, _ = telemetry.read(path).series("gpu0_utilization_percent")
    # The last reading is taken when the sampler is told to stop, at no tick.
    off_ms = np.abs(np.diff(times[:-1]) / 1e9 - TICK_S) * 1000
    return {
        "cpu_percent": round(100 * cpu_s / wall_s, 2),
        "start_cpu_s": round(before, 2),
        "interval_off_ms_p50": round(float(np.percentile(off_ms, 50)), 2),
        "interval_off_ms_p99": round(float(np.percentile(off_ms, 99)), 2),
        "ticks": len(times),
    }


def memory(folder: Path, ticks: int) -> dict[str, float]:
    """Resident memory after a tenth of the ticks and after all of them, as fast as they go."""
    offer(folder, 1)
    path = folder / "memory.csv"
    command = [sys.executable, "-m", "gpuprobe.telemetry", path, str(os.getpid()), str(os.getpid()), "--hz", "2000"]
    sampler = subprocess.Popen(command, stdin=subprocess.PIPE)
    process, first_mib, done = psutil.Process(sampler.pid), 0.0, 0
    with ExitStack() as stack:
        stack.callback(sampler.wait)
        assert sampler.stdin is not None
        stack.callback(sampler.stdin.close)
        while done < ticks:
            time.sleep(1)
            done = path.read_bytes().count(b"\n")
            if not first_mib and done > ticks / 10:
                first_mib = process.memory_info().rss / 2**20
        last_mib = process.memory_info().rss / 2**20
    return {"ticks": done, "first_mib": round(first_mib, 2), "last_mib": round(last_mib, 2)}


def training(folder: Path, pairs: int) -> dict[str, dict[str, float]]:
    """The rate with the sampler over the rate without it, and without it over without it, with 95 % intervals."""
    offer(folder, 1)
    steps = steps_that_take(TRAINING_S)
    ratios: dict[str, list[float]] = {"with_over_without": [], "control": []}
    order = random.Random(0)
    for _ in range(pairs):
        for name, logs in ratios.items():
            arms = [name == "with_over_without", False]
            places = [0, 1]
            order.shuffle(places)
            seconds = [0.0, 0.0]
            for place in places:
                seconds[place] = timed(folder, steps, sampled=arms[place])
            logs.append(math.log(seconds[1] / seconds[0]))
    return {name: interval(values) for name, values in ratios.items()}


def steps_that_take(seconds: float) -> int:
    train(20)
    start = time.monotonic()
    train(100)
    return max(20, round(100 * seconds / (time.monotonic() - start)))


def timed(folder: Path, steps: int, *, sampled: bool) -> float:
    with ExitStack() as stack:
        if sampled:
            stack.enter_context(telemetry.sampling(folder / "training.csv", os.getpid()))
        # The sampler has started by then, and the other arm waits as long.
        time.sleep(1.0)
        start = time.monotonic()
        train(steps)
        return time.monotonic() - start


def train(steps: int) -> None:
    """Fit a small network by plain gradient descent; the matrix products use all cores."""
    random_ = np.random.default_rng(0)
    inputs, wanted = random_.standard_normal((256, 256)), random_.standard_normal((256, 64))
    hidden, output = random_.standard_normal((256, 256)) / 20, random_.standard_normal((256, 64)) / 20
    for _ in range(steps):
        before = inputs @ hidden
        active = np.maximum(before, 0)
        error = (active @ output - wanted) / len(inputs)
        slope = (error @ output.T) * (before > 0)
        output -= RATE * active.T @ error
        hidden -= RATE * inputs.T @ slope


def interval(logs: list[float]) -> dict[str, float]:
    mean = statistics.fmean(logs)
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return {
        "ratio": round(math.exp(mean), 4),
        "low": round(math.exp(mean - half), 4),
        "high": round(math.exp(mean + half), 4),
        "pairs": len(logs),
    }


if __name__ == "__main__":
    main()
