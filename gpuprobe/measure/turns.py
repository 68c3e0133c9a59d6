"""Lets runs take turns, block by block, until their difference is decided or time runs out.

A lap is one turn of each run. The order of the first lap is random, and every second lap is in reverse order, so that
drift within a lap affects all runs alike (paired blocks, ABBA; Bulej et al., "Duet Benchmarking", ICPE 2020).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.measure.onlooker import Onlooker
from gpuprobe.paired.estimate import Estimate
from gpuprobe.paired.fit import EXPECTED_DEVIATION
from gpuprobe.paired.links import Process, links

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.measure.active import ActiveRun
    from gpuprobe.measure.beside_gpu import BesideGpu
    from gpuprobe.measure.stage import Stage

TURN_S = 1.0
# After fewer laps the noise of a pair is unknown, so its turns go on.
FEWEST_LAPS = 5
# After fewer laps no difference counts as certain.
FEWEST_DECIDING = 3
# Repeated tests raise the chance of a false result, so an early stop needs a far stricter threshold than the final test
# (the Haybittle-Peto boundary of sequential trials).
DECIDED = 0.001


class Turns:
    """Runs the laps of a study, and counts them on from those already done."""

    def __init__(self, stage: Stage, seed: int, laps_before: int, gpu: BesideGpu | None = None) -> None:
        self._onlooker, self._gpu, self._disturbed = Onlooker(), gpu, set[int]()
        self._stage, self._random, self._lap = stage, np.random.default_rng((seed, laps_before)), laps_before

    def take(self, runs: Sequence[ActiveRun], until_s: float) -> None:
        """Let the runs take turns, at most until that time; the others are compared with the first.

        A run stops once its difference is decided, or when it ends; the others go on. A disturbed lap does not count,
        and is repeated while there is time.
        """
        first, order = runs[0], [runs[place] for place in self._random.permutation(len(runs))]
        calm: list[dict[Process, float]] = []
        while True:
            order = [run for run in order if run.outcome is None and not _is_decided(run, first, calm)]
            if first not in order or len(order) < 2 or time.monotonic() >= until_s:
                return
            self._lap += 1
            lap = self._lap_of(order)
            if self._lap not in self._disturbed:
                calm.append(lap)
            order.reverse()

    def _lap_of(self, order: Sequence[ActiveRun]) -> dict[Process, float]:
        for run in order:
            if words := self._turn(run):
                run.disturbed(self._lap, words)
                self._disturbed.add(self._lap)
        return {_process(run): rate for run in order if (rate := _log_rate(run, self._lap)) is not None}

    def _turn(self, run: ActiveRun) -> str:
        """Let a run take its turn; return what disturbed it, empty where nothing did."""
        before = self._onlooker.look(*run.worker.pids)
        if self._gpu is not None:
            self._gpu.begin()
        self._stage.turn(run, self._lap, TURN_S)
        disturbances = [self._onlooker.disturbance(before, self._onlooker.look(*run.worker.pids))]
        if self._gpu is not None:
            disturbances.append(self._gpu.disturbance(run.worker.pid))
        return "; ".join(words for words in disturbances if words)


def _is_decided(run: ActiveRun, first: ActiveRun, laps: Sequence[dict[Process, float]]) -> bool:
    """Whether more laps are useless: the two differ for certain, or the noise is below the spread between processes."""
    own, other = _process(run), _process(first)
    both = [{own: lap[own], other: lap[other]} for lap in laps if own in lap and other in lap]
    if run is first or len(both) < FEWEST_DECIDING:
        return False
    (pair,) = links(both)
    error = math.sqrt(pair.variance)
    with_processes = math.hypot(error, math.sqrt(2) * EXPECTED_DEVIATION)
    precise = len(both) >= FEWEST_LAPS and error <= EXPECTED_DEVIATION
    return precise or Estimate(pair.log_ratio, with_processes, pair.freedom).p_value < DECIDED


def _process(run: ActiveRun) -> Process:
    return Process(f"{run.spec.strategy} {run.spec.step}", run.spec.round)


def _log_rate(run: ActiveRun, lap: int) -> float | None:
    timed, settings = run.progress.last_timed, run.progress.settings
    if timed is None or timed.lap != lap or not timed.steps_per_s or settings is None:
        return None
    return math.log(timed.steps_per_s * settings.batch_size)
