"""The middle of a few differences, robust against laps between which the machine changed its speed.

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

    Series = NDArray[np.float64]

# The bound, in standard deviations of the bulk. For normal noise the estimate then has 94 % of the efficiency of the
# mean (computed; 83 % at half that bound).
BOUND = 1.25
# The spread of few differences varies by luck: it is moderated by that of all series, with the weight of so many laps.
SHARED_LAPS = 6.0
# The median absolute deviation of normal noise, as a standard deviation.
NORMAL = 1.4826
# No machine is steadier: a smaller spread counts as this one.
LEAST_DEVIATION = 1e-4
# Each pass halves the distance to the estimate, from the median on.
PASSES = 20


class Middle(NamedTuple):
    """The middle of a series, and its pseudo-values: their mean is the middle, their spread that of single laps."""

    value: float
    pseudo: Series

    @property
    def squares(self) -> float:
        """The sum of the squared distances of the pseudo-values from the middle."""
        return float(((self.pseudo - self.value) ** 2).sum())


def middles(many: Sequence[Series]) -> list[Middle]:
    """Return the middle of each of several series of one machine: the mean of a short series, or of a single one."""
    spreads = [_spread(values) for values in many]
    shared = [
        np.abs(values - np.median(values)) * _unbiased(len(values))
        for values in many
        if len(values) >= fixed.DIFFERENCES_APART
    ]
    if len(many) < 2 or not shared:
        return [Middle(float(values.mean()), values) for values in many]
    together = NORMAL * float(np.median(np.concatenate(shared)))
    return [_middle(values, _moderated(own, len(values), together)) for values, own in zip(many, spreads, strict=True)]


def _spread(values: Series) -> float:
    return NORMAL * float(np.median(np.abs(values - np.median(values)))) * _unbiased(len(values))


def _unbiased(count: int) -> float:
    return math.sqrt(count / (count - 1)) if count > 1 else 1.0


def _moderated(own: float, count: int, shared: float) -> float:
    variance = (count * own**2 + SHARED_LAPS * shared**2) / (count + SHARED_LAPS)
    return max(LEAST_DEVIATION, math.sqrt(variance))


def _middle(values: Series, deviation: float) -> Middle:
    if len(values) < fixed.DIFFERENCES_APART:
        return Middle(float(values.mean()), values)
    bound, middle = BOUND * deviation, float(np.median(values))
    for _ in range(PASSES):
        weights = bound / np.maximum(np.abs(values - middle), bound)
        middle = float(weights @ values / weights.sum())
    away = values - middle
    within = max(1, int((np.abs(away) < bound).sum())) / len(values)
    return Middle(middle, middle + np.clip(away, -bound, bound) / within)
