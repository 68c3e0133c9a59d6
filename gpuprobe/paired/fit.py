"""One weighted least-squares fit of all links of a study, so that chains and cycles of ratios agree.

The model: the log rate of a block is that of its strategy, plus the deviation of its process, plus noise. The deviation
of a process is a random effect: two processes of one strategy differ a little for as long as they live, which no number
of laps averages out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtri

from gpuprobe.paired.estimate import CONFIDENCE, Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.paired.links import Link

    Matrix = NDArray[np.float64]

# How much two processes of one strategy differ is measured where a strategy ran twice. One such pair shows little, so
# its variance is moderated by an expected one, with the weight of EXPECTED_FREEDOM more pairs. The expected deviation
# is an assumption: two processes timed in turns for 8 s each on a shared machine differed by 0.016, which is 0.011 for
# each, noise included. With more weight, studies whose processes differ by more claim too much (by simulation).
EXPECTED_DEVIATION = 0.009
EXPECTED_FREEDOM = 2.0


@dataclass(frozen=True)
class Fit:
    """The log rates of all names by one fit; `estimate` compares any two that links connect.

    `process_deviation` is the standard deviation of the log rates of processes of one name, without the noise.
    """

    names: tuple[str, ...]
    log_rates: Matrix
    process_deviation: float
    _process_freedom: float
    _links: tuple[Link, ...]
    # The noise of each link; for each name, the weights of the links in its log rate; links by processes.
    _variances: Matrix
    _weights: Matrix
    _incidence: Matrix
    _component: dict[str, int]

    def linked(self, name: str, other: str) -> bool:
        """Whether laps connect the two, directly or through others."""
        return name in self._component and self._component[name] == self._component.get(other)

    def estimate(self, name: str, other: str) -> Estimate | None:
        """Return how many times as fast one is as another; None where nothing connects them, or they are the same."""
        if name == other or not self.linked(name, other):
            return None
        weights = self._contrast(name, other)
        noise = weights**2 * self._variances
        process = self.process_deviation**2 * float(((weights @ self._incidence) ** 2).sum())
        laps = sum(link.laps for link in self._links if name in {link.first.name, link.second.name})
        return Estimate(
            log_ratio=float(weights @ [link.log_ratio for link in self._links]),
            error=math.sqrt(float(noise.sum()) + process),
            freedom=self._freedom(noise, process),
            laps=laps,
        )

    def correlation(self, pairs: Sequence[tuple[str, str]]) -> Matrix:
        """Return the correlation matrix of the estimates of these pairs, all of them connected."""
        rows = np.array([self._contrast(*pair) for pair in pairs])
        covariance = (rows * self._variances) @ rows.T
        processes = rows @ self._incidence
        covariance += self.process_deviation**2 * processes @ processes.T
        deviations = np.sqrt(np.diag(covariance))
        correlation: Matrix = covariance / np.outer(deviations, deviations)
        return correlation

    def _freedom(self, noise: Matrix, process: float) -> float:
        """The degrees of freedom of a sum of variances that were each estimated (Satterthwaite).

        A variance from few laps may be small by luck, and the sum would then have too many degrees of freedom. So each
        counts as its upper bound at 95 % (by chi-squared).
        """
        freedoms = np.array([link.freedom for link in self._links])
        largest = noise * freedoms / chdtri(freedoms, CONFIDENCE)
        spread = float((largest**2 / freedoms).sum()) + process**2 / self._process_freedom
        return (float(largest.sum()) + process) ** 2 / spread if spread else self._process_freedom

    def _contrast(self, name: str, other: str) -> Matrix:
        row: Matrix = self._weights[self.names.index(name)] - self._weights[self.names.index(other)]
        return row


def fit(links: Sequence[Link]) -> Fit:
    """Fit all links at once by generalised least squares."""
    processes = sorted({process for link in links for process in (link.first, link.second)})
    names = tuple(sorted({process.name for process in processes}))
    incidence = np.zeros((len(links), len(processes)))
    for row, link in enumerate(links):
        incidence[row, processes.index(link.first)] = 1.0
        incidence[row, processes.index(link.second)] = -1.0
    belongs = np.array([[process.name == name for name in names] for process in processes], float)
    variances = np.array([link.variance for link in links])
    ratios = np.array([link.log_ratio for link in links])
    design = incidence @ belongs if links else np.zeros((0, len(names)))
    variance, freedom = _process_variance(incidence, design, variances, ratios)
    precision = np.linalg.inv(np.diag(variances) + variance * incidence @ incidence.T)
    weights = np.linalg.pinv(design.T @ precision @ design, hermitian=True) @ design.T @ precision
    return Fit(
        names=names,
        log_rates=weights @ ratios,
        process_deviation=math.sqrt(variance),
        _process_freedom=freedom,
        _links=tuple(links),
        _variances=variances,
        _weights=weights,
        _incidence=incidence,
        _component=_components(links, names),
    )


def _process_variance(incidence: Matrix, design: Matrix, variances: Matrix, ratios: Matrix) -> tuple[float, float]:
    """Return the variance between processes of one name without the links' noise, by moments, and its freedom.

    What the names do not explain of the ratios is the processes' own. Where laps connect no two processes of a name, as
    in pairs of fresh processes, only how much the pairs differ tells it.
    """
    weighted = incidence.T / variances
    covariance = np.linalg.pinv(weighted @ incidence, hermitian=True)
    smooth = incidence @ covariance @ weighted @ ratios
    unexplained = np.eye(len(ratios)) - design @ np.linalg.pinv(design)
    freedom = int(np.linalg.matrix_rank(incidence) - np.linalg.matrix_rank(design)) if len(ratios) else 0
    measured = 0.0
    if freedom:
        noise = float(np.trace(unexplained @ incidence @ covariance @ incidence.T))
        own = float(np.trace(unexplained @ incidence @ incidence.T))
        measured = (float(smooth @ unexplained @ smooth) - noise) / own
    together = freedom + EXPECTED_FREEDOM
    # By luck the measured one may be negative. Set to 0 before it is moderated, it would be too large on average.
    return max(0.0, (freedom * measured + EXPECTED_FREEDOM * EXPECTED_DEVIATION**2) / together), together


def _components(links: Sequence[Link], names: Sequence[str]) -> dict[str, int]:
    """Number the names so that all names connected by links have one number."""
    component = {name: place for place, name in enumerate(names)}
    for link in links:
        kept, merged = component[link.first.name], component[link.second.name]
        component = {name: kept if number == merged else number for name, number in component.items()}
    return component
