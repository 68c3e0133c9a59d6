"""Lets runs take turns, block by block, until their difference is decided or time runs out.

A lap is one turn of each run. The order of the first lap is random, and every second lap is in reverse order, so that
drift within a lap affects all runs alike (paired blocks, ABBA; Bulej et al., "Duet Benchmarking", ICPE 2020).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.blocks import BLOCKS, block_means, half_width
from gpuprobe.measure.host_disturbance import HostDisturbance
from gpuprobe.paired.block_rate import log_rate
from gpuprobe.paired.estimate import Estimate
from gpuprobe.paired.fit import EXPECTED_DEVIATION
from gpuprobe.paired.links import Process, links_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.measure.active_run import ActiveRun
    from gpuprobe.measure.gpu_disturbance import GpuDisturbance
    from gpuprobe.measure.live_runs import LiveRuns

TURN_S = 1.0
# After fewer laps the noise of a pair is unknown, so its turns go on.
FEWEST_LAPS = 5
# After fewer laps no difference counts as certain.
FEWEST_DECIDING = 3
# Repeated tests raise the chance of a false result, so an early stop needs a far stricter threshold than the final test
# (the Haybittle-Peto boundary of sequential trials).
DECIDED = 0.001


class Turns:
    """Runs the laps of a study; numbers go on from `laps_before`, those of an earlier, interrupted start."""

    def __init__(
        self, live_runs: LiveRuns, seed: int, laps_before: int, gpu_disturbance: GpuDisturbance | None = None
    ) -> None:
        self._host_disturbance, self._gpu_disturbance = HostDisturbance(), gpu_disturbance
        self._disturbed_laps: set[int] = set()
        self._live_runs, self._random, self._lap = live_runs, np.random.default_rng((seed, laps_before)), laps_before

    def take(self, runs: Sequence[ActiveRun], until_s: float) -> None:
        """Let the runs take turns until `until_s` (monotonic clock) at most; each is compared with the first.

        A run takes no more turns once its difference is decided, or when it ends; the others go on. Where the first
        ends, they are compared with the next. Disturbed laps do not count: further laps replace them while there is
        time.
        """
        order = [runs[place] for place in self._random.permutation(len(runs))]
        undisturbed_laps: list[dict[Process, float]] = []
        while True:
            order = [run for run in order if run.outcome is None]
            if len(order) > 1:
                first = min(order, key=runs.index)
                order = [run for run in order if not _is_decided(run, first, undisturbed_laps)]
            if len(order) < 2 or time.monotonic() >= until_s:
                return
            self._lap += 1
            log_rates = self._run_lap(order)
            if self._lap not in self._disturbed_laps:
                undisturbed_laps.append(log_rates)
            order.reverse()

    def take_alone(self, run: ActiveRun, until_s: float) -> None:
        """Let a run that has no partner take turns alone: they make up for the shortness of its window.

        They end when its rate is as precise as a window's has to be, or at `until_s` (monotonic clock).
        """
        rates: list[float] = []
        while run.outcome is None and time.monotonic() < until_s and not _is_precise(rates, run.spec.precise_fraction):
            self._lap += 1
            rates += map(math.exp, self._run_lap([run]).values())

    def _run_lap(self, order: Sequence[ActiveRun]) -> dict[Process, float]:
        for run in order:
            if words := self._run_turn(run):
                run.disturbed(self._lap, words)
                self._disturbed_laps.add(self._lap)
        return {_process(run): rate for run in order if (rate := _log_rate(run, self._lap)) is not None}

    def _run_turn(self, run: ActiveRun) -> str:
        """Let a run take its turn; return what disturbed it, empty where nothing did."""
        before = self._host_disturbance.read_counters(*run.worker.pids)
        if self._gpu_disturbance is not None:
            self._gpu_disturbance.begin()
        self._live_runs.turn(run, self._lap, TURN_S)
        after = self._host_disturbance.read_counters(*run.worker.pids)
        disturbances = [self._host_disturbance.disturbance(before, after)]
        if self._gpu_disturbance is not None:
            disturbances.append(self._gpu_disturbance.disturbance(run.worker.pid))
        return "; ".join(words for words in disturbances if words)


def _is_decided(run: ActiveRun, baseline: ActiveRun, laps: Sequence[dict[Process, float]]) -> bool:
    """Whether more laps are useless: the difference is certain, or the noise is below that between processes."""
    process, baseline_process = _process(run), _process(baseline)
    shared_laps = [
        {process: lap[process], baseline_process: lap[baseline_process]}
        for lap in laps
        if process in lap and baseline_process in lap
    ]
    if run is baseline or len(shared_laps) < FEWEST_DECIDING:
        return False
    (link,) = links_of(shared_laps)
    link_error = math.sqrt(link.variance)
    error_with_processes = math.hypot(link_error, math.sqrt(2) * EXPECTED_DEVIATION)
    precise = len(shared_laps) >= FEWEST_LAPS and link_error <= EXPECTED_DEVIATION
    return precise or Estimate(link.log_ratio, error_with_processes, link.freedom).p_value < DECIDED


def _is_precise(rates: Sequence[float], fraction: float) -> bool:
    """Whether the 95 % interval of the mean of these rates is narrower than `fraction` of it."""
    return len(rates) >= BLOCKS and half_width(block_means(rates)) <= fraction * math.fsum(rates) / len(rates)


def _process(run: ActiveRun) -> Process:
    return Process(f"{run.spec.strategy} {run.spec.step}", run.spec.round)


def _log_rate(run: ActiveRun, lap: int) -> float | None:
    last_turn, settings = run.progress.last_timed, run.progress.settings
    if last_turn is None or last_turn.lap != lap or settings is None:
        return None
    return log_rate(last_turn, settings.batch_size)
