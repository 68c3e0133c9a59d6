"""The rates of a study with those of its search, compared by this machine's noise between equal runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpuprobe.paired.links import Process
from gpuprobe.ranking import same_work, spread
from gpuprobe.ranking.comparisons import Comparisons
from gpuprobe.ranking.lap_rates import fit_laps
from gpuprobe.ranking.rates import log_interval, run_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.paired.estimate import Estimate
    from gpuprobe.paired.fit import Fit
    from gpuprobe.ranking.comparisons import Beyond
    from gpuprobe.ranking.rates import Interval
    from gpuprobe.records import LossPoint, Run


@dataclass
class SearchRates:
    """The rates of a study's strategies and of a search's runs, by name and round, and the strategies' loss curves.

    `compared` compares the strategies as their ranking does. The search's runs are judged by the noise between those
    of the strategies.
    """

    by_name: spread.Rates
    curves: dict[str, Sequence[LossPoint]]
    compared: Comparisons
    _processes: dict[Process, Run] = field(default_factory=dict)
    _turns: Fit | None = None

    @classmethod
    def of(cls, runs: Sequence[Run], baseline: str | None) -> SearchRates:
        """Return the rates and the noise of runs that belong to no search."""
        compared = Comparisons.of(runs, baseline)
        curves: dict[str, Sequence[LossPoint]] = {}
        processes: dict[Process, Run] = {}
        for run in runs:
            if run_rate(run):
                curves[run.spec.strategy] = max(curves.get(run.spec.strategy, ()), run.losses, key=len)
                processes[Process(run.spec.strategy, run.spec.round)] = run
        return cls(dict(compared.rates), curves, compared, processes)

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
        return spread.rate_interval(self.by_name[name], self.compared.between) if name in self.by_name else None

    def gain(self, name: str, against: str) -> Interval | None:
        """Return how many times as fast `name` is as `against`, None where one of them was not measured.

        Its 95 % interval is that of this ratio alone.
        """
        estimate = self._estimate(name, against)
        if estimate is None:
            return None
        blocks = estimate.laps or sum(rate.blocks for rate in self.by_name[name].values())
        return log_interval(estimate.log_ratio, estimate.half_width(), blocks, len(self.by_name[name]))

    def beyond(self, name: str, against: str, allowed_error: float) -> Beyond:
        """Whether `name` is faster or slower than `against` beyond the noise.

        Two strategies of the study differ where its ranking holds that they do. Where one is a run of the search, the
        p-value of their difference must be below `allowed_error`.
        """
        if name in self.compared.rates and against in self.compared.rates:
            return self.compared.beyond(name, against)
        estimate = self._estimate(name, against)
        if estimate is None or estimate.p_value >= allowed_error:
            return ""
        return "faster" if estimate.log_ratio > 0 else "slower"

    def least_gain(self, against: str, allowed_error: float) -> float:
        """Return the least speed-up of one run over `against` that is beyond the noise, with that error allowed."""
        reference_rates = self.by_name.get(against)
        if not reference_rates:
            return 1.0
        last_rate = {max(reference_rates): reference_rates[max(reference_rates)]}
        estimates = [estimate for name in self.by_name if (estimate := self.turns.estimate(name, against))]
        # Where none took turns with it, one more run of it differs as any run of the search would.
        with_itself = spread.paired_ratio(last_rate, last_rate, self.compared.between, self.compared.residual)
        half_widths = sorted(
            estimate.half_width(1 - allowed_error) for estimate in estimates or ([with_itself] if with_itself else [])
        )
        return math.exp(half_widths[len(half_widths) // 2]) if half_widths else 1.0

    def _estimate(self, name: str, against: str) -> Estimate | None:
        own_rates, reference_rates = self.by_name.get(name), self.by_name.get(against)
        if not own_rates or not reference_rates or name == against:
            return None
        if self.turns.linked(name, against):
            return self.turns.estimate(name, against)
        if not own_rates.keys() & reference_rates.keys():
            # The other failed in this round: use its last round.
            reference_rates = {max(own_rates): reference_rates[max(reference_rates)]}
        return spread.paired_ratio(own_rates, reference_rates, self.compared.between, self.compared.residual)

    def loss_difference(self, name: str, losses: Sequence[LossPoint] | None = None) -> str | None:
        """Return how a strategy's loss, or the `losses` of a run, left the others' band; None if it did not."""
        curves = self.curves if losses is None else {**self.curves, name: losses}
        return same_work.outside_loss_band(curves).get(name)
