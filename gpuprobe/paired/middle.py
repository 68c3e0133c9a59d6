"""Where the middle of a few differences lies when a machine changed its pace between some of them.

A machine of two speeds gives most laps a difference of a few percent and some one of half: the mean is that of these
few. Huber's estimator lets what lies far out pull no more than what lies at a bound (Huber and Ronchetti, "Robust
Statistics", chapter 6). Its pseudo-values are what a mean would be taken of: their spread tells how far it may be off.
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

# In standard deviations of the bulk, as far as one difference may pull: of normal noise the middle has 94 % of the
# efficiency of the mean then (computed; at half that bound 83 %).
BOUND = 1.25
# The spread of few differences by luck is moderated by that of all series, which weighs as much as so many of its own.
SHARED_LAPS = 6.0
# The median absolute deviation of normal noise, as a standard deviation.
NORMAL = 1.4826
# No clock of a machine is steadier: a spread below this is taken as this.
LEAST_DEVIATION = 1e-4
# From the median each pass takes about half of the way that is left.
PASSES = 20


class Middle(NamedTuple):
    """The middle of a series, and its pseudo-values: their mean is the middle, their spread that of single laps."""

    value: float
    pseudo: Series

    @property
    def squares(self) -> float:
        """How far the pseudo-values lie from the middle, as a sum of squares."""
        return float(((self.pseudo - self.value) ** 2).sum())


def middles(many: Sequence[Series]) -> list[Middle]:
    """Return the middle of each of several series of one machine; of one that is alone, or short, that is its mean."""
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
