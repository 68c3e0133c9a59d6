"""From blocks in turns to links: the middle log ratio of two processes, with its variance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gpuprobe.paired.middle import LEAST_DEVIATION, Middle, middles
from gpuprobe.paired.series import inflation, likeness
from gpuprobe.paired.shared import EXPECTED_DEVIATION, EXPECTED_FREEDOM, Noise, expected, mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


class Process(NamedTuple):
    """One process of a study: the name of what it trains, and its number among the processes of that name."""

    name: str
    number: int


@dataclass(frozen=True)
class Link:
    """The middle of the log rates of `first` minus those of `second`, over the laps of both, and its variance."""

    first: Process
    second: Process
    log_ratio: float
    variance: float
    freedom: float
    laps: int


class _Series(NamedTuple):
    """The differences of two processes, lap by lap; `members` are all that took turns in these laps."""

    first: Process
    second: Process
    members: frozenset[Process]
    values: NDArray[np.float64]


def links(laps: Iterable[Mapping[Process, float]]) -> tuple[Link, ...]:
    """Return a link for each two processes that ran laps together, from the log rates of their blocks, lap by lap.

    Laps of the same processes are one series in time. The k processes of a lap make k (k - 1) / 2 links, of which only
    k - 1 are independent. So each link has the weight 2/k, as have its degrees of freedom, and all links of a lap
    together weigh k - 1.
    """
    groups: dict[frozenset[Process], list[Mapping[Process, float]]] = {}
    for lap in laps:
        if len(lap) > 1:
            groups.setdefault(frozenset(lap), []).append(lap)
    series = [
        _Series(first, second, members, np.array([lap[first] - lap[second] for lap in run]))
        for members, run in groups.items()
        for first, second in combinations(sorted(members), 2)
    ]
    centres = middles([pair.values for pair in series])
    grown = inflation(likeness(middle.pseudo for middle in centres if len(middle.pseudo) > 1))
    noises = _noise_by_group(series, centres, grown)
    others = {
        members: (expected if len(run) > 1 else mean)([noise for group, noise in noises.items() if group != members])
        for members, run in groups.items()
    }
    return tuple(_link(pair, middle, grown, others[pair.members]) for pair, middle in zip(series, centres, strict=True))


def _noise_by_group(
    series: Iterable[_Series], centres: Iterable[Middle], grown: float
) -> dict[frozenset[Process], Noise]:
    """Return the noise of a lap's difference in each group of processes, from its two-way layout, processes by laps."""
    squares: dict[frozenset[Process], float] = {}
    laps: dict[frozenset[Process], int] = {}
    for pair, middle in zip(series, centres, strict=True):
        squares[pair.members] = squares.get(pair.members, 0.0) + middle.squares
        laps[pair.members] = len(pair.values)
    return {
        members: Noise(
            2 * square / (len(members) * (len(members) - 1) * max(1, laps[members] - 1)),
            max(0.0, laps[members] / grown - 1) * (len(members) - 1),
        )
        for members, square in squares.items()
    }


def _link(pair: _Series, middle: Middle, grown: float, shared: Noise | None) -> Link:
    count = len(pair.values)
    own = Noise(middle.squares / max(1, count - 1), max(0.0, count / grown - 1) if count > 1 else 0.0)
    if shared is not None:
        noise = own.together(shared)
    elif count > 1:
        # Two laps give at least one degree of freedom, however correlated neighbours are.
        noise = Noise(own.variance, max(1.0, own.freedom))
    else:
        noise = Noise(EXPECTED_DEVIATION**2, EXPECTED_FREEDOM)
    weight = 2 / len(pair.members)
    return Link(
        first=pair.first,
        second=pair.second,
        log_ratio=middle.value,
        variance=max(noise.variance, LEAST_DEVIATION**2) * grown / count / weight,
        freedom=weight * noise.freedom,
        laps=count,
    )
