"""Reproducible noise: each kind of duration has a random stream of its own, so that one knob changes no other draw."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE = 4096


class Source(IntEnum):
    """The kinds of durations that have noise."""

    KERNEL_PATTERN = 0
    KERNEL = 1
    INPUT = 2
    HOST = 3
    COPY = 4
    DROPPED = 5
    TELEMETRY = 6


class Noise:
    """Factors around 1 with a relative spread, reproducible for a seed, source and place."""

    def __init__(self, seed: int, spread: float) -> None:
        self._seed, self._spread = seed, spread
        self._tables: dict[tuple[Source, int], list[float]] = {}

    def generator(self, source: Source, *place: int) -> np.random.Generator:
        """Return the generator of one source at one place, such as a step and a device."""
        return _generator(self._seed, source, place)

    def factors(self, count: int, source: Source, *place: int) -> NDArray[np.float64]:
        """Return factors (count,), log-normal with median 1."""
        return _factors(self._seed, self._spread, count, source, place)

    def factor(self, source: Source, index: int, sort: int = 0) -> float:
        """Return the factor of one event, by its number and sort; they repeat after a few thousand."""
        if (source, sort) not in self._tables:
            self._tables[source, sort] = self.factors(TABLE, source, sort).tolist()
        return self._tables[source, sort][index % TABLE]


def _generator(seed: int, source: Source, place: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng([seed, int(source), *place])


@lru_cache(maxsize=4096)
def _factors(seed: int, spread: float, count: int, source: Source, place: tuple[int, ...]) -> NDArray[np.float64]:
    """Cached, since the same session without a flaw draws the same factors again."""
    factors: NDArray[np.float64] = np.exp(spread * _generator(seed, source, place).standard_normal(count))
    factors.flags.writeable = False
    return factors
