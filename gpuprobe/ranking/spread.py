"""Confidence intervals over rounds, from the differences between equal runs, pooled over all strategies.

With only two rounds each strategy has one degree of freedom, and Student's t reaches thirteen standard errors to either
side. The machine is the same for all, so the spread between rounds is pooled over the strategies, as in a two-way
analysis of variance (strategy + round) on log rates. A round that was slow for all strategies does not widen ratios.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from gpuprobe.paired.estimate import Estimate
from gpuprobe.ranking.rates import Interval, RunRate, log_interval, student_t

if TYPE_CHECKING:
    from collections.abc import Mapping

# One control run gives one degree of freedom: by chance it may show no drift at all; where it shows some, Student's t
# of 12.7 makes all strategies tie. So the measured variance is moderated by an expected one (Smyth 2004, "Linear models
# and empirical Bayes methods", section 4), with the weight of three more runs. The expected deviation of one run, half
# of pyperf's limit for a stable figure (a tenth), is an assumption; two rounds of many strategies outweigh it.
EXPECTED_DEVIATION = 0.05
EXPECTED_FREEDOM = 3

# The rates of each strategy by round.
Rates = dict[str, dict[int, RunRate]]


@dataclass(frozen=True)
class Spread:
    """The pooled variance of log rates between rounds, with its degrees of freedom (0: unknown)."""

    variance: float
    freedom: int


def between_rounds(rates: Rates) -> Spread:
    """Pool the spread of each strategy around its own mean."""
    sum_of_squares, freedom = 0.0, 0
    for runs in rates.values():
        mean = fmean(run.log_rate for run in runs.values()) if runs else 0.0
        sum_of_squares += sum((run.log_rate - mean) ** 2 for run in runs.values())
        freedom += max(0, len(runs) - 1)
    return Spread(sum_of_squares / freedom if freedom else 0.0, freedom)


def without_drift(rates: Rates) -> Spread:
    """Pool the spread that is left without each round's common drift."""
    residuals: dict[int, list[float]] = {}
    for runs in rates.values():
        if len(runs) > 1:
            mean = fmean(run.log_rate for run in runs.values())
            for number, run in runs.items():
                residuals.setdefault(number, []).append(run.log_rate - mean)
    residual_count = sum(len(residuals_of_round) for residuals_of_round in residuals.values())
    repeated_strategies = sum(len(runs) > 1 for runs in rates.values())
    freedom = residual_count - repeated_strategies - max(0, len(residuals) - 1)
    if freedom < 1:
        return Spread(0.0, 0)
    sum_of_squares = sum(
        (residual - fmean(residuals_of_round)) ** 2
        for residuals_of_round in residuals.values()
        for residual in residuals_of_round
    )
    return Spread(sum_of_squares / freedom, freedom)


def rate_interval(runs: Mapping[int, RunRate], spread: Spread) -> Interval:
    """Return one strategy's samples per second over its rounds."""
    mean_log_rate = fmean(run.log_rate for run in runs.values())
    half_width = max(between_half_width(spread, len(runs)), _half_width_within_runs(list(runs.values())))
    return log_interval(mean_log_rate, half_width, sum(run.blocks for run in runs.values()), len(runs))


def paired_ratio(
    runs: Mapping[int, RunRate], against: Mapping[int, RunRate], between: Spread, residual: Spread
) -> Estimate | None:
    """Return the speed-up of one strategy over another, paired by round; None where no round has both.

    Where the residual spread is unknown, as in one round, the variances of both rates are added. Where no run was
    repeated, the expected deviation is used.
    """
    shared_rounds = sorted(runs.keys() & against.keys())
    if not shared_rounds:
        return None
    mean_log_ratio = fmean(runs[number].log_rate - against[number].log_rate for number in shared_rounds)
    if residual.freedom:
        return Estimate(mean_log_ratio, math.sqrt(2 * residual.variance / len(shared_rounds)), residual.freedom)
    expected_half_width = _moderated_half_width(between, len(shared_rounds))
    half_width = math.hypot(
        *(
            max(expected_half_width, _half_width_within_runs([side[number] for number in shared_rounds]))
            for side in (runs, against)
        )
    )
    freedom = between.freedom + EXPECTED_FREEDOM
    return Estimate(mean_log_ratio, half_width / student_t(freedom), freedom)


def unpaired_ratio(runs: Mapping[int, RunRate], against: Mapping[int, RunRate], between: Spread) -> Estimate:
    """Return the speed-up of runs over others from another time, which share no rounds.

    The two means are independent, so that their variances add. Where no run was repeated, the expected deviation is
    used.
    """
    mean_log_rates = [fmean(run.log_rate for run in side.values()) for side in (runs, against)]
    half_width = math.hypot(
        *(
            max(_moderated_half_width(between, len(side)), _half_width_within_runs(list(side.values())))
            for side in (runs, against)
        )
    )
    freedom = between.freedom + EXPECTED_FREEDOM
    return Estimate(mean_log_rates[0] - mean_log_rates[1], half_width / student_t(freedom), freedom)


def between_half_width(spread: Spread, rounds: int) -> float:
    """Return half the 95 % interval of a mean log rate over so many rounds; 0 where no run was repeated."""
    return _moderated_half_width(spread, rounds) if spread.freedom else 0.0


def _moderated_half_width(spread: Spread, rounds: int) -> float:
    freedom = spread.freedom + EXPECTED_FREEDOM
    variance = (spread.freedom * spread.variance + EXPECTED_FREEDOM * EXPECTED_DEVIATION**2) / freedom
    return student_t(freedom) * math.sqrt(variance / rounds)


def _half_width_within_runs(runs: list[RunRate]) -> float:
    freedom = sum(run.blocks - 1 for run in runs)
    log_error = math.sqrt(sum(run.log_error**2 for run in runs)) / len(runs)
    return student_t(freedom) * log_error
