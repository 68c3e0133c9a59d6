"""How time and memory of reading and accounting for a job grow with its workers, and what an event costs beside XProf.

    python benchmarks/workers.py [--counts 1 4 16 64] [--events 300000] [--rounds 1] [--at-once] [--xprof]

Makes one simulated trace of so many events and gives every worker a link to it, so that only the number of files
differs. Each figure is of a process with all its children: wall time, processor time (user and system), and the most
memory that they hold together, looked at ten times a second. Traces are read side by side, as `gpuprobe diagnose` reads
large ones; with `--at-once` by one process, which holds all in memory. The subjects take turns, forwards and backwards,
so that what the machine does meanwhile falls on all alike; told are the medians, and the processor time of an event
beside that of the first.

With `--xprof` two more subjects take turns with them: XProf's overview of the one trace, without the answers that XProf
keeps beside traces, and the most workers a second time. That control shows how far equal work measures apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
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
XPROF = """
import sys; from pathlib import Path; from xprof.convert.raw_to_tool_data import xspace_to_tool_data
assert xspace_to_tool_data([str(next(Path(sys.argv[1]).rglob("*.xplane.pb")))], "overview_page", {})[0]
"""
LOOK_EVERY_S = 0.1
# Of a kernel: the operation, its launch and the kernel itself.
EVENTS_A_KERNEL, KERNELS = 3, 1000


@dataclass(frozen=True)
class Subject:
    """A script that reads so many copies of the one trace."""

    name: str
    script: str
    files: int


@dataclass(frozen=True)
class Cost:
    """What one process took: seconds of wall and processor time, and MiB at its peak."""

    wall_s: float
    processor_s: float
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


def measured(one: Path, subject: Subject) -> Cost:
    """Run a subject in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        place = Path(folder, "plugins", "profile", "job")
        place.mkdir(parents=True)
        for number in range(subject.files):
            (place / f"worker{number}.xplane.pb").symlink_to(one)
        begin = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-c", subject.script, folder, str(subject.files)], stderr=log)
        peak = 0.0
        while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
            peak = max(peak, held_mib(child.pid))
            time.sleep(LOOK_EVERY_S)
        _, status, usage = ended
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            log.seek(0)
            raise SystemExit(f"{subject.name} failed:\n{log.read()[-2000:]}")
        return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, peak)


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
    """Measure every subject in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--xprof", action="store_true")
    told = parser.parse_args()
    script = AT_ONCE if told.at_once else APART
    subjects = [Subject(f"{count} workers", script, count) for count in told.counts]
    xprof = Subject("XProf's overview of one", XPROF, 1)
    if told.xprof:
        subjects += [Subject("the control: the same", script, told.counts[-1]), xprof]
    costs: dict[Subject, list[Cost]] = {subject: [] for subject in subjects}
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: a child's peak is at least what its parent holds when it is made.
        with ProcessPoolExecutor(1) as maker:
            one = maker.submit(trace, Path(folder), told.events).result()
        print(f"one trace: {one.stat().st_size / 2**20:.1f} MiB", flush=True)
        for _ in range(told.rounds):
            for subject in (*subjects, *reversed(subjects)):
                costs[subject].append(measured(one, subject))
    show({subject: middle(of) for subject, of in costs.items()}, xprof)


def middle(costs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(statistics.median(column) for column in zip(*map(astuple, costs), strict=True)))


def show(costs: dict[Subject, Cost], xprof: Subject) -> None:
    """Print each subject's cost, and what an event takes beside the first subject's, and beside XProf's."""
    first, first_cost = next(iter(costs.items()))
    for subject, cost in costs.items():
        of_first = cost.processor_s / subject.files / (first_cost.processor_s / first.files)
        told = f"{subject.name:>23}: {cost.wall_s:7.2f} s, {cost.processor_s:7.2f} s of processor, "
        told += f"{cost.peak_mib:5.0f} MiB; an event takes {of_first:.2f} of the first's"
        if xprof in costs and subject != xprof:
            other = costs[xprof]
            by_wall, by_processor = (
                theirs * subject.files / ours
                for theirs, ours in ((other.wall_s, cost.wall_s), (other.processor_s, cost.processor_s))
            )
            told += f", {by_wall:.1f} times as fast as XProf's ({by_processor:.1f} by processor time)"
        print(told)


if __name__ == "__main__":
    main()
