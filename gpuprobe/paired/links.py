"""Makes links of blocks that took turns: the log ratio of two processes, with its variance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpuprobe.paired.autocorrelation import neighbour_correlation, variance_inflation
from gpuprobe.paired.lap_noise import EXPECTED_DEVIATION, EXPECTED_FREEDOM, LapNoise, expected_noise, mean_noise
from gpuprobe.paired.robust_mean import LEAST_DEVIATION, RobustMean, robust_means

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


class Process(NamedTuple):
    """One process of a study: the name of what it trains, and its number among the processes of that name."""

    name: str
    number: int


@dataclass(frozen=True)
class Link:
    """The log rate of `first` minus that of `second`: the robust mean over the laps of both.

    `variance` is that of this mean; `freedom` is the degrees of freedom with which it is known.
    """

    first: Process
    second: Process
    log_ratio: float
    variance: float
    freedom: float
    laps: int


class _PairedLaps(NamedTuple):
    """The log rate of `first` minus that of `second`, lap by lap; `members` are all that took turns in these laps."""

    first: Process
    second: Process
    members: frozenset[Process]
    log_ratios: NDArray[np.float64]


def links_of(laps: Iterable[Mapping[Process, float]]) -> tuple[Link, ...]:
    """Return a link for each two processes that ran laps together.

    `laps` holds the log rate of each block, by process, lap by lap. Laps of the same processes are one series in time.
    The k processes of a lap make k (k - 1) / 2 links, of which only k - 1 are independent. So each link has the weight
    2/k, as have its degrees of freedom, and all links of a lap together weigh k - 1.
    """
    laps_by_members: dict[frozenset[Process], list[Mapping[Process, float]]] = {}
    for lap in laps:
        if len(lap) > 1:
            laps_by_members.setdefault(frozenset(lap), []).append(lap)
    pairs = [
        _PairedLaps(first, second, members, np.array([lap[first] - lap[second] for lap in shared_laps]))
        for members, shared_laps in laps_by_members.items()
        for first, second in combinations(sorted(members), 2)
    ]
    means = robust_means([pair.log_ratios for pair in pairs])
    inflation = variance_inflation(
        neighbour_correlation(mean.pseudo_values for mean in means if len(mean.pseudo_values) > 1)
    )
    noise_by_members = _noise_by_members(pairs, means, inflation)
    noise_of_others: dict[frozenset[Process], LapNoise | None] = {}
    for members, shared_laps in laps_by_members.items():
        others = [noise for group, noise in noise_by_members.items() if group != members]
        noise_of_others[members] = expected_noise(others) if len(shared_laps) > 1 else mean_noise(others)
    return tuple(
        _link(pair, mean, inflation, noise_of_others[pair.members]) for pair, mean in zip(pairs, means, strict=True)
    )


def _noise_by_members(
    pairs: Iterable[_PairedLaps], means: Iterable[RobustMean], inflation: float
) -> dict[frozenset[Process], LapNoise]:
    """Return the noise of a lap's log ratio for each group of processes, from its two-way layout, processes by laps."""
    squares: dict[frozenset[Process], float] = {}
    laps: dict[frozenset[Process], int] = {}
    for pair, mean in zip(pairs, means, strict=True):
        squares[pair.members] = squares.get(pair.members, 0.0) + mean.squares
        laps[pair.members] = len(pair.log_ratios)
    return {
        members: LapNoise(
            2 * square / (len(members) * (len(members) - 1) * max(1, laps[members] - 1)),
            max(0.0, laps[members] / inflation - 1) * (len(members) - 1),
        )
        for members, square in squares.items()
    }


def _link(pair: _PairedLaps, mean: RobustMean, inflation: float, noise_of_others: LapNoise | None) -> Link:
    """Return the link of two processes; the noise of the study's other laps moderates that of theirs."""
    laps = len(pair.log_ratios)
    own_noise = LapNoise(mean.squares / max(1, laps - 1), max(0.0, laps / inflation - 1) if laps > 1 else 0.0)
    if noise_of_others is not None:
        noise = own_noise.pooled_with(noise_of_others)
    elif laps > 1:
        # Two laps give at least one degree of freedom, however correlated neighbours are.
        noise = LapNoise(own_noise.variance, max(1.0, own_noise.freedom))
    else:
        noise = LapNoise(EXPECTED_DEVIATION**2, EXPECTED_FREEDOM)
    weight = 2 / len(pair.members)
    return Link(
        first=pair.first,
        second=pair.second,
        log_ratio=mean.log_ratio,
        variance=max(noise.variance, LEAST_DEVIATION**2) * inflation / laps / weight,
        freedom=weight * noise.freedom,
        laps=laps,
    )
