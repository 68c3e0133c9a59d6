"""Blocks in turns into links: the mean log ratio of two processes, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpuprobe.paired.series import inflation, likeness

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

# Few laps give a variance by luck. What is seen is moderated by what all pairs of the study show (Smyth 2004, "Linear
# models and empirical Bayes methods", section 4), which weighs as much as this many laps more.
SHARED_FREEDOM = 3.0
# Where no two laps tell: pyperf's bound of a figure that can be trusted, a tenth, halved. An assumption.
EXPECTED_DEVIATION = 0.05
# No clock of a machine is steadier: a spread below this is taken as this.
LEAST_DEVIATION = 1e-4


class Process(NamedTuple):
    """One process of a study: what it trains, by name, and its number among those that do."""

    name: str
    number: int


@dataclass(frozen=True)
class Link:
    """The mean log rate of `first` less that of `second` over the laps that both ran, and its variance."""

    first: Process
    second: Process
    log_ratio: float
    variance: float
    freedom: float
    laps: int


def links(laps: Iterable[Mapping[Process, float]]) -> tuple[Link, ...]:
    """Return a link for each two processes that ran laps together, from the log rates of their blocks, lap by lap.

    Laps of the same processes are one series in time. Of k processes in a lap every two make a link, of which only
    k - 1 tell something new: each weighs 2/k, so that all together weigh what the laps do.
    """
    series: dict[frozenset[Process], list[Mapping[Process, float]]] = {}
    for lap in laps:
        if len(lap) > 1:
            series.setdefault(frozenset(lap), []).append(lap)
    pairs = [
        (first, second, len(members), np.array([lap[first] - lap[second] for lap in run]))
        for members, run in series.items()
        for first, second in combinations(sorted(members), 2)
    ]
    grown = inflation(likeness(values for *_, values in pairs if len(values) > 1))
    many = [values for *_, values in pairs]
    return tuple(
        _link(first, second, size, values, grown, *_shared(many[:place] + many[place + 1 :], len(values)))
        for place, (first, second, size, values) in enumerate(pairs)
    )


def _shared(others: list[NDArray[np.float64]], laps: int) -> tuple[float, float]:
    """The variance of a single lap's difference that the other series show, and the laps that it weighs as much as.

    A series that is alone stands for itself: what it shows must not count twice.
    """
    freedom = sum(len(values) - 1 for values in others)
    if not freedom:
        return EXPECTED_DEVIATION**2, 0.0 if laps > 1 else SHARED_FREEDOM
    variance = sum(float(((values - values.mean()) ** 2).sum()) for values in others) / freedom
    return variance, min(SHARED_FREEDOM, freedom)


def _link(
    first: Process,
    second: Process,
    size: int,
    values: NDArray[np.float64],
    grown: float,
    shared: float,
    weight: float,
) -> Link:
    squares = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    # Two laps tell something of their spread, however alike neighbours are.
    least = 0.0 if weight else 1.0
    seen = max(least, len(values) / grown - 1) if len(values) > 1 else 0.0
    freedom = seen + weight
    variance = (seen * squares + weight * shared) / freedom
    return Link(
        first=first,
        second=second,
        log_ratio=float(values.mean()),
        variance=size / 2 * max(variance, LEAST_DEVIATION**2) * grown / len(values),
        freedom=freedom,
        laps=len(values),
    )
