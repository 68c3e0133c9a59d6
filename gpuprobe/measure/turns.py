"""Lets runs take turns, block by block, for as long as that teaches something and there is time.

One turn of each is a lap. The first order is drawn by lot, and every second one is its reverse: what the machine does
in the course of a lap falls on both ends alike (paired blocks, ABBA; Bulej et al., "Duet Benchmarking", ICPE 2020).
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
# Of fewer laps the noise of a pair is not known, so that it is not said to be small enough.
FEWEST_LAPS = 5
# Of fewer laps nothing is said to differ for sure.
FEWEST_DECIDING = 3
# A look that may end the turns must not make a claim that a later one would take back: it needs far more than the last
# one (the Haybittle-Peto boundary of sequential trials).
DECIDED = 0.001


class Turns:
    """Counts the laps of a study, from those that it has already."""

    def __init__(self, stage: Stage, seed: int, laps_before: int, gpu: BesideGpu | None = None) -> None:
        self._onlooker, self._gpu, self._disturbed = Onlooker(), gpu, set[int]()
        self._stage, self._lots, self._lap = stage, np.random.default_rng((seed, laps_before)), laps_before

    def take(self, runs: Sequence[ActiveRun], until_s: float) -> None:
        """Let the runs, of which the first is what the others are compared with, take turns until that time at most.

        One that is decided stops, and one that ends; the others go on. A lap that something disturbed decides nothing,
        and is run again while there is time.
        """
        first, order = runs[0], [runs[place] for place in self._lots.permutation(len(runs))]
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
        """Let a run take its turn, and say what disturbed it, empty where nothing did."""
        before = self._onlooker.look(*run.worker.pids)
        if self._gpu is not None:
            self._gpu.begin()
        self._stage.turn(run, self._lap, TURN_S)
        said = [self._onlooker.disturbance(before, self._onlooker.look(*run.worker.pids))]
        if self._gpu is not None:
            said.append(self._gpu.disturbance(run.worker.pid))
        return "; ".join(words for words in said if words)


def _is_decided(run: ActiveRun, first: ActiveRun, laps: Sequence[dict[Process, float]]) -> bool:
    """Whether more laps would teach nothing: it differs for sure, or its noise is below what processes differ by."""
    own, other = _process(run), _process(first)
    both = [{own: lap[own], other: lap[other]} for lap in laps if own in lap and other in lap]
    if run is first or len(both) < FEWEST_DECIDING:
        return False
    (found,) = links(both)
    error = math.sqrt(found.variance)
    together = math.hypot(error, math.sqrt(2) * EXPECTED_DEVIATION)
    precise = len(both) >= FEWEST_LAPS and error <= EXPECTED_DEVIATION
    return precise or Estimate(found.log_ratio, together, found.freedom).p_value < DECIDED


def _process(run: ActiveRun) -> Process:
    return Process(f"{run.spec.strategy} {run.spec.step}", run.spec.round)


def _log_rate(run: ActiveRun, lap: int) -> float | None:
    timed, settings = run.progress.last_timed, run.progress.settings
    if timed is None or timed.lap != lap or not timed.steps_per_s or settings is None:
        return None
    return math.log(timed.steps_per_s * settings.batch_size)
