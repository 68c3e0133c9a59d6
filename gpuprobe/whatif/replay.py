"""Replays a graph: every node starts when its resource is free and all that it waits for is done."""

from __future__ import annotations

import itertools
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.thresholds import fixed
from gpuprobe.units import US_PER_MS
from gpuprobe.whatif.graph import Edge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.whatif.graph import Floats, Graph

# A long training is simulated by repeating the trace, until buffers and queues are as full as they get.
STEPS, FEWEST_PASSES, MOST_NODES = 32, 3, 120_000


def run(graph: Graph, passes: int = 1) -> Floats:
    """Return when each node ends, (passes, n) us after the first start; each pass continues the one before."""
    return np.array(list(islice(_passes(graph), passes)))


def traced_ms(graph: Graph) -> float:
    """Return the mean step of the trace in the replay, from the first start to the device's last end, in ms."""
    return float(run(graph)[0][graph.ours].max(initial=0.0)) / graph.steps / US_PER_MS


def steady_ms(graph: Graph) -> float:
    """Return the step time in ms of a long training that repeats the trace."""
    reached = [0.0]
    for ends in islice(_passes(graph), passes_of(graph)):
        reached.append(max(ends))
        if len(reached) > FEWEST_PASSES and _even(reached):
            break
    half = len(reached) // 2
    pace = (reached[-1] - reached[half]) / (len(reached) - 1 - half)
    # A step takes at least the work of its busiest resource, even if much was ready at the start.
    serial = float(np.bincount(graph.resource, weights=graph.us).max())
    return max(pace, serial) / graph.steps / US_PER_MS


def passes_of(graph: Graph) -> int:
    """Return the largest number of passes that is needed until they are alike."""
    return max(FEWEST_PASSES, min(ceil(STEPS / graph.steps), MOST_NODES // max(len(graph), 1)))


def _passes(graph: Graph) -> Iterator[list[float]]:
    """Yield when each node ends, pass after pass."""
    count = len(graph)
    order = np.argsort(graph.target, kind="stable")
    target, source = graph.target[order], graph.source[order]
    # A launch waits for the start of an operation: its end minus its length.
    lags = np.where(graph.reason == Edge.QUEUE, -graph.us[graph.source], graph.lag_us)[order].tolist()
    places = (source - graph.back[order] * count).tolist()
    first = np.searchsorted(target, np.arange(count + 1)).tolist()
    nodes = list(zip(graph.resource.tolist(), graph.us.tolist(), first, first[1:], strict=False))
    free = graph.carried_us.tolist()
    ends: list[float] = []
    for base in itertools.count(step=count):
        for resource, lasts, low, high in nodes:
            begin = free[resource]
            for edge in range(low, high):
                place = base + places[edge]
                if place >= 0:
                    done = ends[place] + lags[edge]
                    if done > begin:  # noqa: PLR1730 - `max` costs a call for each of a million edges
                        begin = done
            begin += lasts
            free[resource] = begin
            ends.append(begin)
        yield ends[-count:]


def _even(reached: list[float]) -> bool:
    """Whether the last two passes took equally long."""
    last, before = reached[-1] - reached[-2], reached[-2] - reached[-3]
    return abs(last - before) <= fixed.PASSES_EVEN * last
