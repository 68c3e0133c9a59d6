"""Several comparisons at once: what holds for all of them together at 95 %.

The noise of all comparisons is drawn from one multivariate normal distribution with their correlation. Each draw is
converted to a p-value, so that a comparison of few laps counts no more than any other. A comparison holds if its
p-value is below the smallest of a draw in 95 % of the draws: Dunnett's test where all are with one baseline. The next
best is then tested against the smallest p-value of those left, as Holm does (the step-down minP test: Westfall and
Young 1993, "Resampling-Based Multiple Testing", chapter 2).
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


def adjusted_p_values(estimates: Sequence[Estimate], correlation: Matrix) -> tuple[float, ...]:
    """Return the p-value of each comparison, adjusted for all.

    It is how often, if nothing differed, chance alone would show a difference as clear in it or in any comparison less
    clear than it; at least that of each clearer one.
    """
    if len(estimates) < 2:
        # A single comparison needs no draws: its own p-value is exact.
        return tuple(estimate.p_value for estimate in estimates)
    drawn_deviates = _draw_deviates(correlation)
    own_p_values = np.array([estimate.p_value for estimate in estimates])
    deviates = -ndtri(own_p_values / 2)
    order = np.argsort(own_p_values, kind="stable")
    adjusted_by_comparison, adjusted = [1.0] * len(estimates), 0.0
    for rank, comparison in enumerate(order):
        largest = drawn_deviates[:, order[rank:]].max(axis=1)
        adjusted = max(adjusted, float((largest >= deviates[comparison]).mean()))
        adjusted_by_comparison[comparison] = adjusted
    return tuple(adjusted_by_comparison)


def single_confidence(correlation: Matrix, confidence: float) -> float:
    """Return the confidence that each comparison needs by itself, so that all of them together have `confidence`."""
    if len(correlation) < 2:
        return confidence
    largest_deviate = float(np.quantile(_draw_deviates(correlation).max(axis=1), confidence))
    return 1 - 2 * float(ndtr(-largest_deviate))


def _draw_deviates(correlation: Matrix) -> Matrix:
    """Draw the absolute deviates of all comparisons under the hypothesis that nothing differs.

    They are normal, whatever the degrees of freedom of each. Student's t of comparisons that share noise would be more
    correlated, so this errs on the safe side.
    """
    random = np.random.default_rng(SEED)
    eigenvalues, eigenvectors = np.linalg.eigh(correlation)
    root = eigenvectors * np.sqrt(np.clip(eigenvalues, 0.0, None))
    drawn: Matrix = np.abs(random.standard_normal((DRAWS, len(correlation))) @ root.T)
    return drawn
