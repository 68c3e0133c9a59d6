"""What the noise of one series of laps is expected to be, from that of the others of the study.

Few laps give a variance by luck. What a series shows is moderated by what the others do, and that weighs the more, the
more alike they are: where some were run while the machine was calm and some while it was not, they tell little of each
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

# However alike they look, they weigh no more than so many laps: few series are alike by luck. Simulated machines decide
# it: with 6, families of equals claimed falsely in 7 of 100 studies on those of short bursts and of two speeds.
MOST_FREEDOM = 3.0
# However unlike they are, one of them still tells as much as a single lap of what another may be.
LEAST_FREEDOM = 1.0
# Where no two laps tell: pyperf's bound of a figure that can be trusted, a tenth, halved. An assumption, of the weight
# of a single lap: nothing but a large difference is beyond it.
EXPECTED_DEVIATION, EXPECTED_FREEDOM = 0.05, 1.0


class Noise(NamedTuple):
    """A variance of single laps, and how many degrees of freedom are behind it."""

    variance: float
    freedom: float

    def together(self, other: Noise) -> Noise:
        """Moderate this by the other; both weigh as much as is behind them."""
        freedom = self.freedom + other.freedom
        return Noise((self.freedom * self.variance + other.freedom * other.variance) / freedom, freedom)


def expected(others: Sequence[Noise]) -> Noise | None:
    """Return what a series would show, from the others and how alike they are; None where they are too few to tell."""
    known = _known(others)
    if len(known) < fixed.SERIES_TELLING:
        return None
    freedoms = np.array([noise.freedom for noise in known])
    variances = np.array([noise.variance for noise in known])
    # Smyth's moments: of the logarithms, each less what chance takes from it.
    logs = np.log(variances) - digamma(freedoms / 2) + np.log(freedoms / 2)
    unlike = float(logs.var(ddof=1) - polygamma(1, freedoms / 2).mean())
    freedom = 2 * _trigamma_inverse(unlike) if unlike > 0 else MOST_FREEDOM
    freedom = max(LEAST_FREEDOM, min(MOST_FREEDOM, freedom))
    return Noise(math.exp(float(logs.mean()) + float(digamma(freedom / 2)) - math.log(freedom / 2)), freedom)


def mean(others: Sequence[Noise]) -> Noise | None:
    """Return the mean noise of the others, which stands for a series that has none of its own to hold against it.

    One of them that was busy counts in full: so may this one have been.
    """
    known = _known(others)
    freedom = sum(noise.freedom for noise in known)
    if not known:
        return None
    return Noise(sum(noise.freedom * noise.variance for noise in known) / freedom, min(MOST_FREEDOM, freedom))


def _known(others: Sequence[Noise]) -> list[Noise]:
    return [noise for noise in others if noise.freedom >= 1 and noise.variance > 0]


def _trigamma_inverse(value: float) -> float:
    """By Newton's method, from the start that Smyth gives."""
    found = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, found))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, found))
        found += step
        if -step <= 1e-8 * found:
            break
    return found
