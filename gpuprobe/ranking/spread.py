"""Confidence intervals over rounds, from the differences between equal runs, pooled over all strategies.

With only two rounds each strategy has one degree of freedom, which makes intervals thirteen standard errors wide. The
machine is the same for all, so the spread between rounds is pooled over the strategies, as in a two-way analysis of
variance (strategy + round) on log rates. A round that was slow for all strategies does not widen ratios.
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

# One control run gives one degree of freedom: it may show no drift at all by chance, and else Student's t of 12.7 makes
# all strategies tie. So the measured variance is moderated by an expected one (Smyth 2004, "Linear models and empirical
# Bayes methods", section 4), with the weight of three more runs. The expected deviation of one run, half of pyperf's
# limit for a stable figure (a tenth), is an assumption; two rounds of many strategies outweigh it.
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
    squares, freedom = 0.0, 0
    for runs in rates.values():
        mean = fmean(run.log_rate for run in runs.values()) if runs else 0.0
        squares += sum((run.log_rate - mean) ** 2 for run in runs.values())
        freedom += max(0, len(runs) - 1)
    return Spread(squares / freedom if freedom else 0.0, freedom)


def without_drift(rates: Rates) -> Spread:
    """Pool the spread that is left without each round's common drift."""
    residuals: dict[int, list[float]] = {}
    for runs in rates.values():
        if len(runs) > 1:
            mean = fmean(run.log_rate for run in runs.values())
            for number, run in runs.items():
                residuals.setdefault(number, []).append(run.log_rate - mean)
    count = sum(len(values) for values in residuals.values())
    strategies = sum(len(runs) > 1 for runs in rates.values())
    freedom = count - strategies - max(0, len(residuals) - 1)
    if freedom < 1:
        return Spread(0.0, 0)
    squares = sum((value - fmean(values)) ** 2 for values in residuals.values() for value in values)
    return Spread(squares / freedom, freedom)


def rate_interval(runs: Mapping[int, RunRate], spread: Spread) -> Interval:
    """Return one strategy's samples per second over its rounds."""
    mean = fmean(run.log_rate for run in runs.values())
    half = max(between_half(spread, len(runs)), _within(list(runs.values())))
    return log_interval(mean, half, sum(run.blocks for run in runs.values()), len(runs))


def ratio(
    runs: Mapping[int, RunRate], against: Mapping[int, RunRate], between: Spread, residual: Spread
) -> Estimate | None:
    """Return the speed-up of one strategy over another, paired by round; None where no round has both.

    Without a residual spread, as in one round, the variances of both rates are added. Where no run was repeated, the
    expected deviation is used.
    """
    both = sorted(runs.keys() & against.keys())
    if not both:
        return None
    mean = fmean(runs[number].log_rate - against[number].log_rate for number in both)
    if residual.freedom:
        return Estimate(mean, math.sqrt(2 * residual.variance / len(both)), residual.freedom)
    expected = _moderated(between, len(both))
    half = math.hypot(*(max(expected, _within([side[number] for number in both])) for side in (runs, against)))
    freedom = between.freedom + EXPECTED_FREEDOM
    return Estimate(mean, half / student_t(freedom), freedom)


def ratio_interval(
    runs: Mapping[int, RunRate], against: Mapping[int, RunRate], between: Spread, residual: Spread
) -> Interval | None:
    """Return that speed-up with its 95 % interval."""
    estimate = ratio(runs, against, between, residual)
    if estimate is None:
        return None
    both = sorted(runs.keys() & against.keys())
    return log_interval(estimate.log_ratio, estimate.half(), sum(runs[number].blocks for number in both), len(both))


def unpaired_ratio(runs: Mapping[int, RunRate], against: Mapping[int, RunRate], between: Spread) -> Interval:
    """Return the speed-up of runs over others from another time, which share no rounds.

    The two means are independent, so that their variances add (the two-sample interval of Student's t).
    """
    logs = [fmean(run.log_rate for run in side.values()) for side in (runs, against)]
    halves = [max(between_half(between, len(side)), _within(list(side.values()))) for side in (runs, against)]
    blocks = sum(run.blocks for run in runs.values())
    return log_interval(logs[0] - logs[1], math.hypot(*halves), blocks, len(runs))


def between_half(spread: Spread, rounds: int) -> float:
    """Return half the 95 % interval of a mean log rate over so many rounds; 0 where no run was repeated."""
    return _moderated(spread, rounds) if spread.freedom else 0.0


def _moderated(spread: Spread, rounds: int) -> float:
    freedom = spread.freedom + EXPECTED_FREEDOM
    variance = (spread.freedom * spread.variance + EXPECTED_FREEDOM * EXPECTED_DEVIATION**2) / freedom
    return student_t(freedom) * math.sqrt(variance / rounds)


def _within(runs: list[RunRate]) -> float:
    freedom = sum(run.blocks - 1 for run in runs)
    error = math.sqrt(sum(run.log_error**2 for run in runs)) / len(runs)
    return student_t(freedom) * error
