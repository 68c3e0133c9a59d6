"""Blocks in turns into links: the middle log ratio of two processes, and how far it can be trusted."""

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
    """One process of a study: what it trains, by name, and its number among those that do."""

    name: str
    number: int


@dataclass(frozen=True)
class Link:
    """The middle log rate of `first` less that of `second` over the laps that both ran, and its variance."""

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

    Laps of the same processes are one series in time. Of k processes in a lap every two make a link, of which only
    k - 1 tell something new: each weighs 2/k, and so do the degrees of freedom behind it, so that all together weigh
    what the laps do.
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
    found = middles([one.values for one in series])
    grown = inflation(likeness(middle.pseudo for middle in found if len(middle.pseudo) > 1))
    noises = _of_groups(series, found, grown)
    others = {
        members: (expected if len(run) > 1 else mean)([of for who, of in noises.items() if who != members])
        for members, run in groups.items()
    }
    return tuple(_link(one, middle, grown, others[one.members]) for one, middle in zip(series, found, strict=True))


def _of_groups(series: Iterable[_Series], found: Iterable[Middle], grown: float) -> dict[frozenset[Process], Noise]:
    """The noise of a lap's difference in each group: of its two-way layout, processes by laps."""
    squares: dict[frozenset[Process], float] = {}
    laps: dict[frozenset[Process], int] = {}
    for one, middle in zip(series, found, strict=True):
        squares[one.members] = squares.get(one.members, 0.0) + middle.squares
        laps[one.members] = len(one.values)
    return {
        members: Noise(
            2 * square / (len(members) * (len(members) - 1) * max(1, laps[members] - 1)),
            max(0.0, laps[members] / grown - 1) * (len(members) - 1),
        )
        for members, square in squares.items()
    }


def _link(one: _Series, middle: Middle, grown: float, shared: Noise | None) -> Link:
    count = len(one.values)
    seen = Noise(middle.squares / max(1, count - 1), max(0.0, count / grown - 1) if count > 1 else 0.0)
    if shared is not None:
        noise = seen.together(shared)
    elif count > 1:
        # Two laps tell something of their spread, however alike neighbours are.
        noise = Noise(seen.variance, max(1.0, seen.freedom))
    else:
        noise = Noise(EXPECTED_DEVIATION**2, EXPECTED_FREEDOM)
    weight = 2 / len(one.members)
    return Link(
        first=one.first,
        second=one.second,
        log_ratio=middle.value,
        variance=max(noise.variance, LEAST_DEVIATION**2) * grown / count / weight,
        freedom=weight * noise.freedom,
        laps=count,
    )
