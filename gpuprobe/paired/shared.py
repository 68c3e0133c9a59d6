"""What the noise of one series of laps is expected to be, from that of the other series of the study.

The variance of a few laps varies by luck, so that of a series is moderated by those of the others. They weigh more, the
more alike they are: where some ran while the machine was calm and some while it was busy, they say little about each
other (Smyth 2004, "Linear models and empirical Bayes methods", sections 4 and 6.2).
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


class Noise(NamedTuple):
    """A variance of single laps, and how many degrees of freedom are behind it."""

    variance: float
    freedom: float

    def together(self, other: Noise) -> Noise:
        """Return the mean of both, each with the weight of its degrees of freedom."""
        freedom = self.freedom + other.freedom
        return Noise((self.freedom * self.variance + other.freedom * other.variance) / freedom, freedom)


def expected(others: Sequence[Noise]) -> Noise | None:
    """Return the expected noise of a series, from the others and how alike they are; None where they are too few."""
    known = _known(others)
    if len(known) < fixed.SERIES_TELLING:
        return None
    freedoms = np.array([noise.freedom for noise in known])
    variances = np.array([noise.variance for noise in known])
    # Smyth's moments of the log variances, each corrected for its bias.
    logs = np.log(variances) - digamma(freedoms / 2) + np.log(freedoms / 2)
    unlike = float(logs.var(ddof=1) - polygamma(1, freedoms / 2).mean())
    freedom = 2 * _trigamma_inverse(unlike) if unlike > 0 else MOST_FREEDOM
    freedom = max(LEAST_FREEDOM, min(MOST_FREEDOM, freedom))
    return Noise(math.exp(float(logs.mean()) + float(digamma(freedom / 2)) - math.log(freedom / 2)), freedom)


def mean(others: Sequence[Noise]) -> Noise | None:
    """Return the mean noise of the others, for a series without a variance of its own.

    A series that ran while the machine was busy counts in full, since this one may have done so too.
    """
    known = _known(others)
    freedom = sum(noise.freedom for noise in known)
    if not known:
        return None
    return Noise(sum(noise.freedom * noise.variance for noise in known) / freedom, min(MOST_FREEDOM, freedom))


def _known(others: Sequence[Noise]) -> list[Noise]:
    return [noise for noise in others if noise.freedom >= 1 and noise.variance > 0]


def _trigamma_inverse(value: float) -> float:
    """Return where the trigamma function has this value, by Newton's method from Smyth's starting point."""
    inverse = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, inverse))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, inverse))
        inverse += step
        if -step <= 1e-8 * inverse:
            break
    return inverse
