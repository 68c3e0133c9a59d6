"""Compares the steps of a search with the changes kept, by this machine's noise between equal runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.paired.links import Process
from gpuprobe.ranking import same_work, spread
from gpuprobe.ranking.rates import log_interval, run_rate
from gpuprobe.ranking.turns import fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.paired.fit import Fit
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import LossPoint, Run


@dataclass
class Noise:
    """The rates of a study by name, with the steps of a search added; its losses, and the spread of rates.

    `curves`, `between` and `residual` come from the strategies only: steps are judged by them, and do not change them.
    """

    rates: spread.Rates
    curves: dict[str, Sequence[LossPoint]]
    between: spread.Spread
    residual: spread.Spread
    _processes: dict[Process, Run] = field(default_factory=dict)
    _turns: Fit | None = None

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Noise:
        """Learn the noise from runs that are no steps of a search."""
        rates: spread.Rates = {}
        curves: dict[str, Sequence[LossPoint]] = {}
        processes: dict[Process, Run] = {}
        for run in runs:
            if rate := run_rate(run):
                rates.setdefault(run.spec.strategy, {})[run.spec.round] = rate
                curves[run.spec.strategy] = max(curves.get(run.spec.strategy, ()), run.losses, key=len)
                processes[Process(run.spec.strategy, run.spec.round)] = run
        return cls(rates, curves, spread.between_rounds(rates), spread.without_drift(rates), processes)

    def add(self, name: str, run: Run) -> None:
        """Add the rate of one step under a name of its own; nothing if the run has no rate."""
        if rate := run_rate(run):
            self.rates[name] = {run.spec.round: rate}
            self._processes[Process(name, run.spec.round)] = run
            self._turns = None

    @property
    def turns(self) -> Fit:
        """The fit of all runs that took turns, steps included."""
        if self._turns is None:
            self._turns = fitted(self._processes)
        return self._turns

    def rate(self, name: str) -> Interval | None:
        """Return the samples per second of a strategy or a step, None where it was not measured."""
        return spread.rate_interval(self.rates[name], self.between) if name in self.rates else None

    def gain(self, name: str, against: str) -> Interval | None:
        """Return how many times as fast one is as another, None where one of them was not measured."""
        own, other = self.rates.get(name), self.rates.get(against)
        if not own or not other or name == against:
            return None
        estimate = self.turns.estimate(name, against)
        if estimate is not None:
            return log_interval(estimate.log_ratio, estimate.half(), estimate.laps, len(own))
        if not own.keys() & other.keys():
            # Where it failed in the step's round, use another round.
            other = {max(own): other[max(other)]}
        return spread.ratio_interval(own, other, self.between, self.residual)

    def least_gain(self, against: str) -> float:
        """Return the least speed-up of one run that is beyond the noise."""
        other = self.rates.get(against)
        if not other:
            return 1.0
        in_turns = [estimate.half() for name in self.rates if (estimate := self.turns.estimate(name, against))]
        if in_turns:
            return math.exp(sorted(in_turns)[len(in_turns) // 2])
        last = {max(other): other[max(other)]}
        with_itself = spread.ratio_interval(last, last, self.between, self.residual)
        return math.sqrt(with_itself.high / with_itself.low) if with_itself else 1.0

    def other_loss(self, name: str, losses: Sequence[LossPoint] | None = None) -> str | None:
        """Return how the loss of a strategy, or the `losses` of a step, left the others' band; None if it did not."""
        curves = self.curves if losses is None else {**self.curves, name: losses}
        return same_work.off_the_band(curves).get(name)
