"""Where a GPU was busy and where it idled: stretches of whole seconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.evidence.readings.grid import Grid

# SageMaker Debugger's rules call a GPU below 10 % idle.
IDLE_BELOW_PERCENT = 10.0
# NVML's figure covers up to one second, so that one second alone may be the edge of another.
SHORTEST_BINS = 2


@dataclass(frozen=True)
class Phase:
    """A stretch in which the GPU was busy or idle, or in which nothing is known (None)."""

    busy: bool | None
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.end_ns - self.start_ns) / NS_PER_S


def phases(grid: Grid, column: str) -> tuple[Phase, ...]:
    """Return the phases of a utilization column in order; one of a single second goes to the phase before it."""
    levels, edges = grid.level(column), grid.edges_ns
    states = [None if np.isnan(level) else bool(level >= IDLE_BELOW_PERCENT) for level in levels]
    runs = [(state, len(list(group))) for state, group in groupby(states)]
    joined: list[tuple[bool | None, int]] = []
    for state, length in runs:
        if joined and (state == joined[-1][0] or (length < SHORTEST_BINS and state is not None)):
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((state, length))
    found, place = [], 0
    for state, length in joined:
        found.append(Phase(state, int(edges[place]), int(edges[place + length])))
        place += length
    return tuple(found)


def busy_span(found: tuple[Phase, ...]) -> tuple[int, int] | None:
    """Return from where the first busy phase begins to where the last one ends, or None where there is none."""
    busy = [phase for phase in found if phase.busy]
    return (busy[0].start_ns, busy[-1].end_ns) if busy else None
