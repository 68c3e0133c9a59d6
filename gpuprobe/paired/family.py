"""Several comparisons at once: what holds for all of them together at 95 %.

What chance makes of the comparisons is drawn together, as they hang together, from a multivariate normal; each draw is
read as a p-value, so that a comparison of few laps has no more say than any other. The smallest p-value of a draw is
what a single comparison has to beat: Dunnett's test where all are with one baseline. Then the rest is tried against the
smallest of what is left, as Holm does (the step-down test of the smallest p-value: Westfall and Young 1993,
"Resampling-Based Multiple Testing", chapter 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.paired.estimate import Estimate

    Matrix = NDArray[np.float64]

# Of this many draws the 97.5 % point has a standard error of 0.0011 of probability.
DRAWS = 20_000
SEED = 1


def adjusted(estimates: Sequence[Estimate], correlation: Matrix) -> tuple[float, ...]:
    """Return the p-value of each comparison among all of them: how often chance shows as much anywhere among these."""
    if len(estimates) < 2:
        # One comparison is no family: its own p-value is exact, where draws are not.
        return tuple(estimate.p_value for estimate in estimates)
    drawn = _drawn(correlation)
    own = np.array([estimate.p_value for estimate in estimates])
    deviates = -ndtri(own / 2)
    order = np.argsort(own, kind="stable")
    found, above = [1.0] * len(estimates), 0.0
    for step, place in enumerate(order):
        largest = drawn[:, order[step:]].max(axis=1)
        above = max(above, float((largest >= deviates[place]).mean()))
        found[place] = above
    return tuple(found)


def each(correlation: Matrix, confidence: float) -> float:
    """Return the confidence that each comparison must have alone, so that all together have the one that is asked."""
    if len(correlation) < 2:
        return confidence
    largest = float(np.quantile(_drawn(correlation).max(axis=1), confidence))
    return 1 - 2 * float(ndtr(-largest))


def _drawn(correlation: Matrix) -> Matrix:
    """Draw the sizes of all deviates where nothing differs.

    They are normal, whatever the degrees of freedom behind each: noise that comparisons share would make a family of
    Student's t hang together more, so that this errs to the safe side.
    """
    random = np.random.default_rng(SEED)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    drawn: Matrix = np.abs(random.standard_normal((DRAWS, len(correlation))) @ root.T)
    return drawn
