"""Compares any two strategies of a study, each comparison for itself and all of them together.

Runs that took turns are compared by their laps, all in one fit. Other runs followed one another, in older studies or
where memory held only one: they are paired by round, and how the machine changed meanwhile widens their intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from gpuprobe.paired import family
from gpuprobe.paired.estimate import CONFIDENCE, Estimate
from gpuprobe.paired.links import Process
from gpuprobe.ranking import spread, ties
from gpuprobe.ranking.lap_rates import fit_laps
from gpuprobe.ranking.rates import Interval, log_interval, run_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.paired.fit import Fit
    from gpuprobe.records import Run

Beyond = Literal["faster", "slower", ""]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Comparisons:
    """The rates of all strategies by round, the fit of those that took turns, and the baseline of the study."""

    rates: spread.Rates
    turns: Fit
    baseline: str | None

    @classmethod
    def of(cls, runs: Sequence[Run], baseline: str | None) -> Comparisons:
        """Gather the rates and laps of the measured runs."""
        rates: spread.Rates = {}
        for run in runs:
            if rate := run_rate(run):
                rates.setdefault(run.spec.strategy, {})[run.spec.round] = rate
        processes = {process_of(run): run for run in runs if run.is_measured}
        return cls(rates, fit_laps(processes), baseline)

    @cached_property
    def between(self) -> spread.Spread:
        """How much two runs of one strategy differ at different times."""
        return spread.between_rounds(self.rates)

    @cached_property
    def residual(self) -> spread.Spread:
        """How much they differ without the drift that all strategies of a round share."""
        return spread.without_drift(self.rates)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Samples per second of each strategy: the baseline's rate times the ratio to it, where they took turns."""
        by_rates = {
            name: spread.rate_interval(rate_by_round, self.between) for name, rate_by_round in self.rates.items()
        }
        return {name: self._by_ratio(name, by_rates) for name in by_rates}

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The rank of each strategy, by the differences beyond the noise of all comparisons together."""
        rate_by_name = {name: interval.value for name, interval in self.intervals.items()}
        return ties.ranks(rate_by_name, lambda name, other: bool(self.beyond(name, other)))

    def took_turns(self, name: str, other: str | None) -> bool:
        """Whether laps connect the two."""
        return other is not None and self.turns.linked(name, other)

    def estimate(self, name: str, other: str | None) -> Estimate | None:
        """How many times as fast one strategy is as another; None for the same one, or where one was not measured."""
        if other is None or other == name or other not in self.rates or name not in self.rates:
            return None
        if self.turns.linked(name, other):
            return self.turns.estimate(name, other)
        return spread.paired_ratio(self.rates[name], self.rates[other], self.between, self.residual)

    def ratio(self, name: str, other: str | None) -> Interval | None:
        """How many times as fast one is as another, with the 95 % interval of this ratio alone."""
        estimate = self.estimate(name, other)
        return None if estimate is None else self._interval(estimate, name, estimate.half_width())

    def joint_ratio(self, name: str, other: str | None) -> Interval | None:
        """The same ratio, with an interval that holds at 95 % for all comparisons of the study together.

        Where it excludes 1, the two differ by `beyond` too.
        """
        estimate = self.estimate(name, other)
        if estimate is None or other is None:
            return None
        return self._interval(estimate, name, estimate.half_width(self._single_confidences[self._pair(name, other)]))

    def beyond(self, name: str, other: str | None) -> Beyond:
        """Whether one is faster or slower than another beyond the noise of all comparisons together, at 95 %."""
        estimate = self.estimate(name, other)
        if estimate is None or other is None:
            return ""
        if self._p_values[self._pair(name, other)] >= 1 - CONFIDENCE:
            return ""
        return "faster" if estimate.log_ratio > 0 else "slower"

    def ties_with(self, name: str) -> tuple[str, ...]:
        """Return the strategies from which this one does not differ beyond the noise, or was not compared with."""
        return tuple(other for other in self.rates if other != name and not self.beyond(name, other))

    def resolution(self) -> float | None:
        """The smallest difference that this study could tell, as a fraction of the rate (0.05 is 5 %), or None.

        It is the median half-width of the comparisons with the baseline, at 95 % confidence for all comparisons of the
        study together, and includes how much two processes of one strategy differ.
        """
        half_widths = sorted(
            estimate.half_width(self._single_confidences[pair])
            for pair in self._pairs_with_baseline
            if (estimate := self.estimate(*pair))
        )
        return math.expm1(half_widths[len(half_widths) // 2]) if half_widths else None

    @cached_property
    def _pairs_with_baseline(self) -> list[Pair]:
        pairs = [(name, self.baseline) for name in self.rates if self.baseline and name != self.baseline]
        return [pair for pair in pairs if self.estimate(*pair)]

    @cached_property
    def _families(self) -> list[list[Pair]]:
        """The comparisons with the baseline, and all others; each family has half of the allowed error."""
        other_names = [name for name in self.rates if name != self.baseline]
        pairs_of_others = [pair for pair in combinations(other_names, 2) if self.estimate(*pair)]
        return [pairs for pairs in (self._pairs_with_baseline, pairs_of_others) if pairs]

    @cached_property
    def _p_values(self) -> dict[Pair, float]:
        """The p-value of each comparison, adjusted for all of both families."""
        adjusted: dict[Pair, float] = {}
        for pairs in self._families:
            estimates = [estimate for pair in pairs if (estimate := self.estimate(*pair))]
            p_values = family.adjusted_p_values(estimates, self._correlation(pairs))
            adjusted |= {pair: min(1.0, len(self._families) * p) for pair, p in zip(pairs, p_values, strict=True)}
        return adjusted

    @cached_property
    def _single_confidences(self) -> dict[Pair, float]:
        """The confidence that each comparison needs alone, so that those of both families hold together."""
        confidences: dict[Pair, float] = {}
        for pairs in self._families:
            confidence_of_family = 1 - (1 - CONFIDENCE) / len(self._families)
            confidences |= dict.fromkeys(
                pairs, family.single_confidence(self._correlation(pairs), confidence_of_family)
            )
        return confidences

    def _pair(self, name: str, other: str) -> Pair:
        """Return the two in the order in which a family holds them."""
        return (name, other) if (name, other) in self._p_values else (other, name)

    def _correlation(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """The correlation of the comparisons; those of runs that did not take turns count as independent."""
        correlation = np.eye(len(pairs))
        linked = [index for index, pair in enumerate(pairs) if self.turns.linked(*pair)]
        if linked:
            correlation[np.ix_(linked, linked)] = self.turns.correlation([pairs[index] for index in linked])
        return correlation

    def _interval(self, estimate: Estimate, name: str, log_half_width: float) -> Interval:
        rounds = len(self.rates[name])
        blocks = estimate.laps or sum(rate.blocks for rate in self.rates[name].values())
        return log_interval(estimate.log_ratio, log_half_width, blocks, rounds)

    def _by_ratio(self, name: str, by_rates: dict[str, Interval]) -> Interval:
        ratio = self.turns.estimate(name, self.baseline) if self.baseline and name in self.turns.names else None
        if ratio is None or self.baseline not in by_rates:
            return by_rates[name]
        baseline_interval = by_rates[self.baseline]
        log_half_width = math.hypot(ratio.half_width(), math.log(baseline_interval.high / baseline_interval.low) / 2)
        return log_interval(
            math.log(baseline_interval.value) + ratio.log_ratio, log_half_width, ratio.laps, len(self.rates[name])
        )


def process_of(run: Run) -> Process:
    """Name the process of a run among those of its strategy; the runs of a search are counted by themselves."""
    return Process(run.spec.strategy, run.spec.step or run.spec.round)
