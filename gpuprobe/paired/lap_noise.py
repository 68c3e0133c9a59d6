"""The noise of single laps, and what it is expected to be for one series by the other series of the study.

The variance of a few laps varies by luck, so that of a series is moderated by those of the others. The more alike the
others are, the more they weigh: where some ran while the machine was calm and some while it was busy, they say little
about each other (Smyth 2004, "Linear models and empirical Bayes methods", sections 4 and 6.2).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import digamma, polygamma

from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

# The most laps that the others weigh, however alike they look, since a few series may be alike by luck. By simulation:
# with 6, on machines of short bursts or of two speeds, 7 of 100 studies of equal strategies claimed a difference.
MOST_FREEDOM = 3.0
# The least that they weigh, however different they are: a single lap.
LEAST_FREEDOM = 1.0
# Assumed where no process ran two laps: half of pyperf's limit for a stable figure, a tenth, with the weight of a lap.
# Only a large difference is beyond it.
EXPECTED_DEVIATION, EXPECTED_FREEDOM = 0.05, 1.0


class LapNoise(NamedTuple):
    """The variance of a single lap's log ratio, and the degrees of freedom with which it is known."""

    variance: float
    freedom: float

    def pooled_with(self, other: LapNoise) -> LapNoise:
        """Return the mean of both, each with the weight of its degrees of freedom."""
        freedom = self.freedom + other.freedom
        return LapNoise((self.freedom * self.variance + other.freedom * other.variance) / freedom, freedom)


def expected_noise(others: Sequence[LapNoise]) -> LapNoise | None:
    """Return the noise to expect of a series, by how noisy and alike the others are; None where they are too few."""
    informative = _informative(others)
    if len(informative) < fixed.SERIES_TELLING:
        return None
    freedoms = np.array([noise.freedom for noise in informative])
    variances = np.array([noise.variance for noise in informative])
    # Smyth's moments of the log variances, each corrected for its bias.
    log_variances = np.log(variances) - digamma(freedoms / 2) + np.log(freedoms / 2)
    excess_variance = float(log_variances.var(ddof=1) - polygamma(1, freedoms / 2).mean())
    freedom = 2 * _trigamma_inverse(excess_variance) if excess_variance > 0 else MOST_FREEDOM
    freedom = max(LEAST_FREEDOM, min(MOST_FREEDOM, freedom))
    return LapNoise(
        math.exp(float(log_variances.mean()) + float(digamma(freedom / 2)) - math.log(freedom / 2)), freedom
    )


def mean_noise(others: Sequence[LapNoise]) -> LapNoise | None:
    """Return the mean noise of the others, for a series without a variance of its own; None where none is known.

    A series that ran while the machine was busy counts in full, since this one may have done so too.
    """
    informative = _informative(others)
    freedom = sum(noise.freedom for noise in informative)
    if not informative:
        return None
    return LapNoise(sum(noise.freedom * noise.variance for noise in informative) / freedom, min(MOST_FREEDOM, freedom))


def _informative(others: Sequence[LapNoise]) -> list[LapNoise]:
    return [noise for noise in others if noise.freedom >= 1 and noise.variance > 0]


def _trigamma_inverse(trigamma_value: float) -> float:
    """Return where the trigamma function has this trigamma_value, by Newton's method from Smyth's starting point."""
    inverse = 0.5 + 1 / trigamma_value
    for _ in range(50):
        trigamma = float(polygamma(1, inverse))
        step = trigamma * (1 - trigamma / trigamma_value) / float(polygamma(2, inverse))
        inverse += step
        if -step <= 1e-8 * inverse:
            break
    return inverse
