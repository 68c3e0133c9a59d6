"""Simulated machines that do not keep their pace, and studies on them whose truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.paired.links import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Pace = NDArray[np.float64]

# The pace is known every so often, and a block takes several of these.
TICK_S = 0.1
BLOCK_TICKS = 12
GAP_TICKS = 2


def calm(random: np.random.Generator, ticks: int) -> Pace:
    del random
    return np.zeros(ticks)


def drift(random: np.random.Generator, ticks: int) -> Pace:
    """Slower and slower, or faster: by up to a third over the study."""
    return np.asarray(random.uniform(-0.3, 0.3) * np.arange(ticks) / ticks, np.float64)


def steps(random: np.random.Generator, ticks: int) -> Pace:
    """Another program comes for tens of seconds, takes a part of the machine, and goes."""
    changes = random.random(ticks) < TICK_S / 25
    return np.asarray(np.cumsum(np.where(changes, random.normal(0, 0.15, ticks), 0.0)), np.float64)


def bursts(random: np.random.Generator, ticks: int) -> Pace:
    """Short bursts, each of a second or two, take a quarter to a half of the machine."""
    pace = np.zeros(ticks)
    for start in np.flatnonzero(random.random(ticks) < TICK_S / 6):
        pace[start : start + random.integers(5, 25)] = -random.uniform(0.25, 0.7)
    return pace


def two_speeds(random: np.random.Generator, ticks: int) -> Pace:
    """The clock has two speeds a quarter apart, and changes between them every few seconds."""
    return np.asarray(0.25 * (np.cumsum(random.random(ticks) < TICK_S / 4) % 2), np.float64)


def guests(random: np.random.Generator, ticks: int) -> Pace:
    """For a part of the study a neighbour comes and goes every 15 s, and takes a third: as seen on a rented machine."""
    pace = -0.45 * (np.cumsum(random.random(ticks) < TICK_S / 15) % 2)
    calm_from, calm_until = np.sort(random.integers(0, ticks, 2))
    pace[calm_from:calm_until] = 0.0
    return np.asarray(pace, np.float64)


def heavy_tails(random: np.random.Generator, ticks: int) -> Pace:
    """Most instants are alike, and some are not at all."""
    return np.asarray(np.clip(0.15 * random.standard_t(2, ticks), -2.0, 2.0), np.float64)


def wandering(random: np.random.Generator, ticks: int) -> Pace:
    """A pace that wanders and comes back within some ten seconds."""
    pace, noise = np.zeros(ticks), random.normal(0, 0.02, ticks)
    for tick in range(1, ticks):
        pace[tick] = 0.99 * pace[tick - 1] + noise[tick]
    return pace


MACHINES: dict[str, Callable[[np.random.Generator, int], Pace]] = {
    made.__name__: made for made in (calm, drift, steps, bursts, two_speeds, guests, heavy_tails, wandering)
}


def study(
    machine: str,
    truth: Mapping[str, float],
    random: np.random.Generator,
    *,
    groups: Sequence[Sequence[Process]],
    laps: int = 8,
    process_deviation: float = 0.01,
    noise: float = 0.01,
) -> list[dict[Process, float]]:
    """Return the log rates that a study would measure, lap by lap, of groups of processes that take turns.

    `truth` holds the log rate of each name; a process differs from it by `process_deviation`, a block by `noise`
    beside what the machine does to it. Every second lap is in the reverse order, the first in one drawn by lot.
    """
    processes = {process for group in groups for process in group}
    own = {process: truth[process.name] + random.normal(0, process_deviation) for process in sorted(processes)}
    each = BLOCK_TICKS + GAP_TICKS
    pace = MACHINES[machine](random, each * laps * sum(map(len, groups)) + each)
    now, found = 0, []
    for group in groups:
        order = list(random.permutation(len(group)))
        for _ in range(laps):
            lap = {}
            for place in order:
                through = np.exp(pace[now : now + BLOCK_TICKS]).mean()
                lap[group[place]] = float(own[group[place]] + np.log(through) + random.normal(0, noise))
                now += each
            order.reverse()
            found.append(lap)
    return found
