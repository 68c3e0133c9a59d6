"""What two runs of the same differ by on this machine, learnt from the runs of the strategies; and all their rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ranking import same_work, spread
from gpuprobe.ranking.rates import run_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import LossPoint, Run


@dataclass
class Noise:
    """The rates of a study by name, to which the steps of a search are added; its losses, and how far rates spread.

    `curves`, `between` and `residual` are of the strategies alone: a step is judged by them, and changes none of them.
    """

    rates: spread.Rates
    curves: dict[str, Sequence[LossPoint]]
    between: spread.Spread
    residual: spread.Spread

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Noise:
        """Learn from runs that are no steps of a search."""
        rates: spread.Rates = {}
        curves: dict[str, Sequence[LossPoint]] = {}
        for run in runs:
            if rate := run_rate(run):
                rates.setdefault(run.spec.strategy, {})[run.spec.round] = rate
                curves[run.spec.strategy] = max(curves.get(run.spec.strategy, ()), run.losses, key=len)
        return cls(rates, curves, spread.between_rounds(rates), spread.without_drift(rates))

    def add(self, name: str, run: Run) -> None:
        """Take in the rate of one step under a name of its own; a run without one adds nothing."""
        if rate := run_rate(run):
            self.rates[name] = {run.spec.round: rate}

    def rate(self, name: str) -> Interval | None:
        """Return the samples per second of a strategy or a step, None where it was not measured."""
        return spread.rate_interval(self.rates[name], self.between) if name in self.rates else None

    def gain(self, name: str, against: str) -> Interval | None:
        """Return how many times as fast one is as another, None where one of them was not measured."""
        own, other = self.rates.get(name), self.rates.get(against)
        if not own or not other or name == against:
            return None
        if not own.keys() & other.keys():
            # Where it failed in the round of the step, another round of it has to do.
            other = {max(own): other[max(other)]}
        return spread.ratio_interval(own, other, self.between, self.residual)

    def least_gain(self, against: str) -> float:
        """Return how many times as fast one run must be as what it is compared with, to be so beyond the noise."""
        other = self.rates.get(against)
        if not other:
            return 1.0
        last = {max(other): other[max(other)]}
        alike = spread.ratio_interval(last, last, self.between, self.residual)
        return math.sqrt(alike.high / alike.low) if alike else 1.0

    def other_loss(self, name: str, losses: Sequence[LossPoint] | None = None) -> str | None:
        """Say how the loss of a strategy, or the `losses` of a step, left the band of the others; None where not."""
        curves = self.curves if losses is None else {**self.curves, name: losses}
        return same_work.off_the_band(curves).get(name)
