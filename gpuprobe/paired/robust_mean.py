"""The robust mean of a few log ratios, which laps between which the machine changed its speed hardly move.

On a machine of two speeds most laps differ by a few percent, and some by half: these few would decide the mean. In
Huber's estimator values beyond a bound count as if they were at the bound (Huber and Ronchetti, "Robust Statistics",
chapter 6). Its pseudo-values have the estimate as their mean, and their spread gives its error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    # The log ratio of two processes, lap by lap.
    LogRatios = NDArray[np.float64]

# The bound, in standard deviations of the bulk. For normal noise the estimate then has 94 % of the efficiency of the
# mean (computed; 83 % at half that bound).
BOUND = 1.25
# The spread of few laps varies by luck: it is moderated by that of all series, with the weight of so many laps.
SHARED_LAPS = 6.0
# The median absolute deviation (MAD) of normal noise, times this, is its standard deviation.
MAD_TO_DEVIATION = 1.4826
# No machine is steadier: a smaller spread counts as this one.
LEAST_DEVIATION = 1e-4
# Each pass halves the distance to the estimate, from the median on.
PASSES = 20


class RobustMean(NamedTuple):
    """The robust mean of a series of laps, and its pseudo-values: one a lap, with this mean and the spread of laps."""

    log_ratio: float
    pseudo_values: LogRatios

    @property
    def squares(self) -> float:
        """The sum of the squared distances of the pseudo-values from the mean."""
        return float(((self.pseudo_values - self.log_ratio) ** 2).sum())


def robust_means(series: Sequence[LogRatios]) -> list[RobustMean]:
    """Return the robust mean of each series, all of one machine; the plain mean of a short series, or of a single one.

    A series is the log ratio of two processes, lap by lap.
    """
    deviations = [_deviation(log_ratios) for log_ratios in series]
    distances = [
        np.abs(log_ratios - np.median(log_ratios)) * _unbiased(len(log_ratios))
        for log_ratios in series
        if len(log_ratios) >= fixed.DIFFERENCES_APART
    ]
    if len(series) < 2 or not distances:
        return [RobustMean(float(log_ratios.mean()), log_ratios) for log_ratios in series]
    shared = MAD_TO_DEVIATION * float(np.median(np.concatenate(distances)))
    return [
        _robust_mean(log_ratios, _moderated(own, len(log_ratios), shared))
        for log_ratios, own in zip(series, deviations, strict=True)
    ]


def _deviation(log_ratios: LogRatios) -> float:
    median_distance = float(np.median(np.abs(log_ratios - np.median(log_ratios))))
    return MAD_TO_DEVIATION * median_distance * _unbiased(len(log_ratios))


def _unbiased(laps: int) -> float:
    return math.sqrt(laps / (laps - 1)) if laps > 1 else 1.0


def _moderated(own: float, laps: int, shared: float) -> float:
    """Return the deviation of a series, moderated by the one that all series share."""
    variance = (laps * own**2 + SHARED_LAPS * shared**2) / (laps + SHARED_LAPS)
    return max(LEAST_DEVIATION, math.sqrt(variance))


def _robust_mean(log_ratios: LogRatios, deviation: float) -> RobustMean:
    """Return Huber's estimate by iteratively reweighted least squares."""
    if len(log_ratios) < fixed.DIFFERENCES_APART:
        return RobustMean(float(log_ratios.mean()), log_ratios)
    bound, estimate = BOUND * deviation, float(np.median(log_ratios))
    for _ in range(PASSES):
        weights = bound / np.maximum(np.abs(log_ratios - estimate), bound)
        estimate = float(weights @ log_ratios / weights.sum())
    residuals = log_ratios - estimate
    share_within = max(1, int((np.abs(residuals) < bound).sum())) / len(log_ratios)
    return RobustMean(estimate, estimate + np.clip(residuals, -bound, bound) / share_within)
