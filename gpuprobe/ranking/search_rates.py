"""The rates of a study with those of its search, compared by this machine's noise between equal runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.paired.links import Process
from gpuprobe.ranking import same_work, spread
from gpuprobe.ranking.lap_rates import fit_laps
from gpuprobe.ranking.rates import log_interval, run_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.paired.fit import Fit
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import LossPoint, Run


@dataclass
class SearchRates:
    """The rates of a study's strategies and of a search's runs, by name and round; loss curves, and spread of rates.

    `curves`, `between` and `residual` come from the strategies only: the search's runs are judged by them.
    """

    by_name: spread.Rates
    curves: dict[str, Sequence[LossPoint]]
    between: spread.Spread
    residual: spread.Spread
    _processes: dict[Process, Run] = field(default_factory=dict)
    _turns: Fit | None = None

    @classmethod
    def of(cls, runs: Sequence[Run]) -> SearchRates:
        """Return the rates and the noise of runs that belong to no search."""
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
        """Add the rate of one run of a search under a name of its own; nothing if the run has no rate."""
        if rate := run_rate(run):
            self.by_name[name] = {run.spec.round: rate}
            self._processes[Process(name, run.spec.round)] = run
            self._turns = None

    @property
    def turns(self) -> Fit:
        """The fit to the laps of all runs that took turns, those of the search included."""
        if self._turns is None:
            self._turns = fit_laps(self._processes)
        return self._turns

    def rate(self, name: str) -> Interval | None:
        """Return the samples per second measured under that name, None where nothing was."""
        return spread.rate_interval(self.by_name[name], self.between) if name in self.by_name else None

    def gain(self, name: str, against: str) -> Interval | None:
        """Return how many times as fast `name` is as `against`, None where one of them was not measured."""
        own_rates, reference_rates = self.by_name.get(name), self.by_name.get(against)
        if not own_rates or not reference_rates or name == against:
            return None
        estimate = self.turns.estimate(name, against)
        if estimate is not None:
            return log_interval(estimate.log_ratio, estimate.half_width(), estimate.laps, len(own_rates))
        if not own_rates.keys() & reference_rates.keys():
            # The other failed in this round: use its last round.
            reference_rates = {max(own_rates): reference_rates[max(reference_rates)]}
        return spread.paired_ratio_interval(own_rates, reference_rates, self.between, self.residual)

    def least_gain(self, against: str) -> float:
        """Return the least speed-up of one run over `against` that is beyond the noise."""
        reference_rates = self.by_name.get(against)
        if not reference_rates:
            return 1.0
        half_widths = [
            estimate.half_width() for name in self.by_name if (estimate := self.turns.estimate(name, against))
        ]
        if half_widths:
            return math.exp(sorted(half_widths)[len(half_widths) // 2])
        last_rate = {max(reference_rates): reference_rates[max(reference_rates)]}
        ratio_with_itself = spread.paired_ratio_interval(last_rate, last_rate, self.between, self.residual)
        return math.sqrt(ratio_with_itself.high / ratio_with_itself.low) if ratio_with_itself else 1.0

    def loss_difference(self, name: str, losses: Sequence[LossPoint] | None = None) -> str | None:
        """Return how a strategy's loss, or the `losses` of a run, left the others' band; None if it did not."""
        curves = self.curves if losses is None else {**self.curves, name: losses}
        return same_work.outside_loss_band(curves).get(name)
