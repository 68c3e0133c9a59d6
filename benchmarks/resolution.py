"""How small a difference runs in turns can tell on this machine, beside runs that follow each other; truths are known.

    python benchmarks/resolution.py [--studies 5] [--effects 0,3,5,10,20] [--seconds 8] [--machine calm|loaded|both]

Every study starts two pairs of fresh processes that train the same model; the second of each pair sleeps for a known
part of each step (0: it is the same under another name). Both ways get the same time for the same processes: a window
of so many seconds for each, one after the other, as four runs of a study that follow each other; and as many seconds of
turns. On a loaded machine another program takes a core for 2 to 8 s and leaves it for as long, again and again.
Printed: how often the known effect was found, how often a difference was claimed falsely (where there is none, or the
wrong way round), how often the interval held the truth, and half of the interval in the median; by how much the log
rates of two processes of one strategy differ beyond the noise (the standard deviation of one, over all studies on a
machine, with a 95 % interval that takes the differences as normal); and what the studies took.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scipy.special import chdtri

from gpuprobe.measure.environment import environment
from gpuprobe.measure.live_runs import LiveRuns
from gpuprobe.measure.process import ForkingLauncher, FreshLauncher, Launcher
from gpuprobe.measure.turns import Turns
from gpuprobe.paired.estimate import CONFIDENCE
from gpuprobe.paired.fit import fit_links
from gpuprobe.paired.links import Process, links_of
from gpuprobe.ranking import spread
from gpuprobe.ranking.lap_rates import lap_rates
from gpuprobe.ranking.rates import window_rate
from gpuprobe.records import Request, Run, RunSpec, Study
from gpuprobe.workloads.arrays import save_arrays
from gpuprobe.workloads.synthetic import synthetic

if TYPE_CHECKING:
    from gpuprobe.paired.estimate import Estimate

BASE, OTHER = "base", "other"
STRATEGY = "numpy"
BATCH, DEPTH, SAMPLES = 32, 8, 2048
BURST_S = (2.0, 8.0)
SPIN = "while True: pass"
ALPHA = 1 - CONFIDENCE


@dataclass(frozen=True)
class Seen:
    """What one study said: the estimate of each way, and the truth as a log ratio.

    `difference` is that between the log ratios of its two pairs of processes in turns, `noise` its variance by the laps
    alone. Both are None where a pair was not measured.
    """

    turns: Estimate | None
    followed: Estimate | None
    truth: float
    difference: float | None
    noise: float | None


class Quiet:
    """An observer that says nothing."""

    def run_started(self, spec: RunSpec, index: int, total: int) -> None: ...

    def run_progress(self, progress: object) -> None: ...

    def run_finished(self, run: Run) -> None: ...


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--studies", type=int, default=5, help="studies of each effect on each machine")
    options.add_argument("--effects", default="0,3,5,10,20", help="per cent of a step that one of the two sleeps")
    options.add_argument("--seconds", type=float, default=8.0, help="seconds that each process is timed, each way")
    options.add_argument("--machine", choices=("calm", "loaded", "both"), default="both")
    asked = options.parse_args()
    machines = ("calm", "loaded") if asked.machine == "both" else (asked.machine,)
    launcher: Launcher = FreshLauncher() if environment().gpus else ForkingLauncher()
    print("machine  effect  way        found  false  held   half-width")
    began_s, done = time.monotonic(), 0
    with closing(launcher), tempfile.TemporaryDirectory(prefix="gpuprobe-resolution-") as name:
        save_arrays(synthetic(0, "made for this benchmark", train=SAMPLES, test=1), Path(name))
        for machine in machines:
            on_machine: list[Seen] = []
            for effect in (float(text) / 100 for text in asked.effects.split(",")):
                seen: list[Seen] = []
                with load() if machine == "loaded" else nothing():
                    for seed in range(asked.studies):
                        seen.append(study(launcher, Path(name), effect, asked.seconds, seed))
                        show_study(seed, seen[-1])
                on_machine += seen
                for way in ("turns", "followed"):
                    show(machine, effect, way, seen)
            show_processes(machine, on_machine)
            done += len(on_machine)
    print(f"{done} studies in {time.monotonic() - began_s:.0f} s")


def show_study(seed: int, seen: Seen) -> None:
    """Print to stderr what one study said, so that one that is cut off has not lost those before it."""
    for way, estimate in (("turns", seen.turns), ("followed", seen.followed)):
        told = f"{math.exp(estimate.log_ratio):.3f}x, p {estimate.p_value:.3f}" if estimate is not None else "nothing"
        print(f"study {seed}, {way}: {told}", file=sys.stderr, flush=True)


def show(machine: str, effect: float, way: str, seen: Sequence[Seen]) -> None:
    found = [(estimate, one.truth) for one in seen if (estimate := getattr(one, way)) is not None]
    claims = [(math.copysign(1.0, estimate.log_ratio), truth) for estimate, truth in found if estimate.p_value < ALPHA]
    right = sum(truth * sign > 0 for sign, truth in claims)
    held = sum(abs(estimate.log_ratio - truth) <= estimate.half_width() for estimate, truth in found)
    half = statistics.median(math.expm1(estimate.half_width()) for estimate, _ in found) if found else math.nan
    of, told = len(found), str(right) if effect else "-"
    counts = f"{told + '/' + str(of):5}  {len(claims) - right}/{of:<3}  {held}/{of:<3}"
    print(f"{machine:7}  {effect:5.0%}   {way:9}  {counts}  {half:.1%}", flush=True)


def show_processes(machine: str, seen: Sequence[Seen]) -> None:
    """Print the standard deviation of the log rate of a process, without noise, by moments.

    The log ratios of two pairs of fresh processes differ by the deviations of four processes and by noise.
    """
    both = [(one.difference, one.noise) for one in seen if one.difference is not None and one.noise is not None]
    if not both:
        return
    squares = sum(difference**2 for difference, _ in both)
    noise = statistics.mean(noise for _, noise in both)
    # By chi-squared with as many degrees of freedom as studies; the noise is taken as known.
    of_all = (squares / len(both), squares / chdtri(len(both), 0.025), squares / chdtri(len(both), 0.975))
    middle, low, high = (math.sqrt(max(0.0, variance - noise) / 4) for variance in of_all)
    print(f"{machine:7}  processes of one strategy differ by {middle:.1%} ({low:.1%} to {high:.1%}), noise not counted")


def study(launcher: Launcher, data: Path, effect: float, seconds: float, seed: int) -> Seen:
    """Measure two pairs of processes both ways."""
    with tempfile.TemporaryDirectory(prefix="gpuprobe-study-", dir=data) as name:
        stage = LiveRuns(record(), Path(name), launcher, Quiet())
        turns, runs = Turns(stage, seed, 0), dict[Process, Run]()
        try:
            for pair in (1, 2):
                specs = [spec(who, pair, effect, seconds, data) for who in (BASE, OTHER)]
                alive = [stage.start(one) for one in specs]
                stage.wait_until_warm(alive)
                for run in alive if pair % 2 else reversed(alive):
                    stage.measure(run)
                turns.take(alive, time.monotonic() + len(alive) * seconds)
                for who, run in zip((BASE, OTHER), alive, strict=True):
                    stage.end(run)
                    runs[Process(who, pair)] = run.record()
        finally:
            stage.stop()
    rates: spread.Rates = {BASE: {}, OTHER: {}}
    for process, measured in runs.items():
        # Of its window alone: turns are the other way to measure it.
        window = measured.phase("window")
        if window and (rate := window_rate(window, BATCH)):
            rates[process.name][process.number] = rate
    between, residual = spread.between_rounds(rates), spread.without_drift(rates)
    pairs = links_of(lap_rates(runs))
    both = len(pairs) == 2
    return Seen(
        turns=fit_links(pairs).estimate(OTHER, BASE),
        followed=spread.paired_ratio(rates[OTHER], rates[BASE], between, residual),
        truth=-math.log1p(effect),
        difference=pairs[0].log_ratio - pairs[1].log_ratio if both else None,
        noise=pairs[0].variance + pairs[1].variance if both else None,
    )


def spec(who: str, pair: int, effect: float, seconds: float, data: Path) -> RunSpec:
    # A run's folder is named after its round: each process has one of its own.
    number = 2 * pair + (who == OTHER)
    sleeps = (f"slow_step={effect}",) if who == OTHER else ("slow_step=0",)
    return RunSpec(
        strategy=STRATEGY,
        round=number,
        seed=0,
        batch_size=BATCH,
        depth=DEPTH,
        window_s=seconds,
        window_min_s=seconds,
        trace_steps=0,
        data=str(data),
        inject=sleeps,
    )


def record() -> Study:
    return Study(
        name="resolution",
        created_ns=time.time_ns(),
        command="benchmarks/resolution.py",
        environment=environment(),
        workload=f"ResNet{DEPTH}",
        data_name="synthetic",
        data_source="Synthetic images.",
        batch_size=BATCH,
        train_samples=SAMPLES,
        epoch_samples=SAMPLES,
        strategies=(),
        request=Request(rounds=2, budget_s=600.0, batch_size=BATCH, seed=0),
    )


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def load() -> Iterator[None]:
    """Let another program take a core in bursts."""
    program = (
        "import random, subprocess, sys, time\n"
        "while True:\n"
        f"    one = subprocess.Popen([sys.executable, '-c', {SPIN!r}])\n"
        f"    time.sleep(random.uniform(*{BURST_S}))\n"
        "    one.kill(); one.wait()\n"
        f"    time.sleep(random.uniform(*{BURST_S}))\n"
    )
    generator = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    try:
        yield
    finally:
        os.killpg(generator.pid, signal.SIGKILL)
        generator.wait()


if __name__ == "__main__":
    main()
