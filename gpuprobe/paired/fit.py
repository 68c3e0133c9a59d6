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
# is that of 40 pairs of processes timed in turns for 6 s each on a shared machine with nothing else at work: 0.007 (0
# to 0.015), rounded up (docs/proved.md). With more weight, studies whose processes differ by more claim too much (by
# simulation).
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
        """Return how many times as fast `name` is as `other`; None where no laps connect them, or they are the same."""
        if name == other or not self.linked(name, other):
            return None
        contrast = self._contrast(name, other)
        link_variances = contrast**2 * self._variances
        process_variance = self.process_deviation**2 * float(((contrast @ self._incidence) ** 2).sum())
        laps = sum(link.laps for link in self._links if name in {link.first.name, link.second.name})
        return Estimate(
            log_ratio=float(contrast @ [link.log_ratio for link in self._links]),
            error=math.sqrt(float(link_variances.sum()) + process_variance),
            freedom=self._freedom(link_variances, process_variance),
            laps=laps,
        )

    def correlation(self, pairs: Sequence[tuple[str, str]]) -> Matrix:
        """Return the correlation matrix of the estimates of these pairs, all of them connected."""
        contrasts = np.array([self._contrast(*pair) for pair in pairs])
        covariance = (contrasts * self._variances) @ contrasts.T
        process_contrasts = contrasts @ self._incidence
        covariance += self.process_deviation**2 * process_contrasts @ process_contrasts.T
        deviations = np.sqrt(np.diag(covariance))
        correlation: Matrix = covariance / np.outer(deviations, deviations)
        return correlation

    def _freedom(self, link_variances: Matrix, process_variance: float) -> float:
        """The degrees of freedom of a sum of variances that were each estimated (Satterthwaite).

        A variance from few laps may be small by luck, and the sum would then have too many degrees of freedom. So each
        counts as its upper bound at 95 % (by chi-squared).
        """
        freedoms = np.array([link.freedom for link in self._links])
        upper_bounds = link_variances * freedoms / chdtri(freedoms, CONFIDENCE)
        sum_of_squares = float((upper_bounds**2 / freedoms).sum()) + process_variance**2 / self._process_freedom
        total = float(upper_bounds.sum()) + process_variance
        return total**2 / sum_of_squares if sum_of_squares else self._process_freedom

    def _contrast(self, name: str, other: str) -> Matrix:
        """The weights of the links in the difference of two log rates."""
        contrast: Matrix = self._weights[self.names.index(name)] - self._weights[self.names.index(other)]
        return contrast


def fit_links(links: Sequence[Link]) -> Fit:
    """Fit all links at once by generalised least squares; names that no link has are not in the fit."""
    processes = sorted({process for link in links for process in (link.first, link.second)})
    names = tuple(sorted({process.name for process in processes}))
    incidence = np.zeros((len(links), len(processes)))
    for row, link in enumerate(links):
        incidence[row, processes.index(link.first)] = 1.0
        incidence[row, processes.index(link.second)] = -1.0
    name_of_process = np.array([[process.name == name for name in names] for process in processes], float)
    variances = np.array([link.variance for link in links])
    log_ratios = np.array([link.log_ratio for link in links])
    design = incidence @ name_of_process if links else np.zeros((0, len(names)))
    process_variance, freedom = _process_variance(incidence, design, variances, log_ratios)
    precision = np.linalg.inv(np.diag(variances) + process_variance * incidence @ incidence.T)
    weights = np.linalg.pinv(design.T @ precision @ design, hermitian=True) @ design.T @ precision
    return Fit(
        names=names,
        log_rates=weights @ log_ratios,
        process_deviation=math.sqrt(process_variance),
        _process_freedom=freedom,
        _links=tuple(links),
        _variances=variances,
        _weights=weights,
        _incidence=incidence,
        _component=_components(links, names),
    )


def _process_variance(incidence: Matrix, design: Matrix, variances: Matrix, log_ratios: Matrix) -> tuple[float, float]:
    """Return the variance between processes of one name and its degrees of freedom, by the method of moments.

    What the names do not explain of the ratios, less the links' noise, is due to the processes. Where laps connect no
    two processes of a name, as in pairs of fresh processes, only the differences between such pairs show it.
    """
    weighted_incidence = incidence.T / variances
    covariance = np.linalg.pinv(weighted_incidence @ incidence, hermitian=True)
    fitted_ratios = incidence @ covariance @ weighted_incidence @ log_ratios
    residual_projector = np.eye(len(log_ratios)) - design @ np.linalg.pinv(design)
    freedom = float(np.linalg.matrix_rank(incidence) - np.linalg.matrix_rank(design)) if len(log_ratios) else 0.0
    measured_variance = 0.0
    if freedom:
        link_noise = float(np.trace(residual_projector @ incidence @ covariance @ incidence.T))
        process_share = float(np.trace(residual_projector @ incidence @ incidence.T))
        measured_variance = (float(fitted_ratios @ residual_projector @ fitted_ratios) - link_noise) / process_share
        # A difference within the noise tells little of the processes, as the information on a variance component falls.
        process_part = process_share * max(EXPECTED_DEVIATION**2, measured_variance)
        freedom *= (process_part / (process_part + link_noise)) ** 2
    total_freedom = freedom + EXPECTED_FREEDOM
    # By luck the measured variance may be negative. Set to 0 before it is moderated, it would be too large on average.
    return max(
        0.0, (freedom * measured_variance + EXPECTED_FREEDOM * EXPECTED_DEVIATION**2) / total_freedom
    ), total_freedom


def _components(links: Sequence[Link], names: Sequence[str]) -> dict[str, int]:
    """Number the names so that all names connected by links have one number."""
    component = {name: place for place, name in enumerate(names)}
    for link in links:
        kept, merged = component[link.first.name], component[link.second.name]
        component = {name: kept if number == merged else number for name, number in component.items()}
    return component
