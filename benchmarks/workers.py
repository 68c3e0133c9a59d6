"""How time and memory of reading and accounting for a job grow with its workers.

    python benchmarks/workers.py [--counts 1 4 16 64] [--events 300000] [--rounds 1] [--at-once]

Makes one simulated trace of so many events and gives every worker a link to it, so that only the number of files
differs. Each figure is of a process with all its children; memory is the most that they hold together, looked at ten
times a second. Traces are read side by side, as `gpuprobe diagnose` reads large ones; with `--at-once` by one process,
which holds all in memory. The counts take turns in the order 1 .. N, N .. 1, so that what the machine does meanwhile
falls on all alike; told are the medians, and the cost of an event beside that of one worker.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from msgspec.structs import replace

from gpuprobe.simulate.job import Job, write_job
from gpuprobe.simulate.spec import Collective, Host, Kernels, Recording, Spec

APART = """
import sys; from pathlib import Path
from gpuprobe.ledger.parallel_breakdown import break_down_in_parallel
made = break_down_in_parallel(Path(sys.argv[1]))
assert len(made.devices) == int(sys.argv[2]), made.warnings
"""
AT_ONCE = """
import sys; from pathlib import Path
from gpuprobe.ledger.breakdown import break_down; from gpuprobe.traces.read import read
made = break_down(read(Path(sys.argv[1]))).breakdown
assert len(made.devices) == int(sys.argv[2]), made.warnings
"""
LOOK_EVERY_S = 0.1
# Of a kernel: the operation, its launch and the kernel itself.
EVENTS_A_KERNEL, KERNELS = 3, 1000


@dataclass(frozen=True)
class Cost:
    """What one process took: seconds of wall time and MiB at its peak."""

    wall_s: float
    peak_mib: float


def trace(folder: Path, events: int) -> Path:
    """Write the trace of one worker of two."""
    steps = max(2, round(events / EVENTS_A_KERNEL / KERNELS))
    spec = Spec(
        steps=steps,
        kernels=Kernels(count=KERNELS, mean_us=30.0),
        host=Host(sync_every=1),
        collective=Collective(update_share=0.05),
        recording=Recording(telemetry=False),
    )
    write_job(Job(workers=(spec, replace(spec, seed=1)), gradients_mib=20.0), folder)
    return next(folder.rglob("worker0.xplane.pb"))


def measured(one: Path, count: int, script: str) -> Cost:
    """Account for so many workers in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "plugins", "profile", "job")
        place.mkdir(parents=True)
        for number in range(count):
            (place / f"worker{number}.xplane.pb").symlink_to(one)
        begin = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-c", script, folder, str(count)])
        peak = 0.0
        while child.poll() is None:
            peak = max(peak, held_mib(child.pid))
            time.sleep(LOOK_EVERY_S)
        assert child.returncode == 0
        return Cost(time.perf_counter() - begin, peak)


def held_mib(pid: int) -> float:
    """Return what a process and its children hold together now, in MiB; pages that they share count once each."""
    held = 0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                held += process.memory_full_info().pss
    return held / 2**20


def main() -> None:
    """Measure every count in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--at-once", action="store_true")
    told = parser.parse_args()
    costs: dict[int, list[Cost]] = {count: [] for count in told.counts}
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a child's peak is at least what its parent holds when it is made.
        with ProcessPoolExecutor(1) as maker:
            one = maker.submit(trace, Path(folder), told.events).result()
        print(f"one trace: {one.stat().st_size / 2**20:.1f} MiB", flush=True)
        for _ in range(told.rounds):
            for count in (*told.counts, *reversed(told.counts)):
                costs[count].append(measured(one, count, AT_ONCE if told.at_once else APART))
    first = statistics.median(cost.wall_s for cost in costs[told.counts[0]]) / told.counts[0]
    for count, of in costs.items():
        wall = statistics.median(cost.wall_s for cost in of)
        peak = statistics.median(cost.peak_mib for cost in of)
        print(f"{count:3} workers: {wall:7.2f} s, {peak:7.0f} MiB; an event takes {wall / count / first:.2f} of one's")


if __name__ == "__main__":
    main()
