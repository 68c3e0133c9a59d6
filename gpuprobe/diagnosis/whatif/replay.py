"""Runs a graph: every node begins when its resource is free and all that it waits for is done."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.diagnosis.whatif.graph import Edge

if TYPE_CHECKING:
    from gpuprobe.diagnosis.whatif.graph import Floats, Graph

US_PER_MS = 1e3
# A long training is the trace over and over: as often as it takes to fill buffers and queues, and no longer.
STEPS, FEWEST_PASSES, MOST_NODES = 32, 4, 120_000


def run(graph: Graph, passes: int = 1) -> Floats:
    """Return when each node ends, (passes, n) us after the first began; a pass goes on where the one before ended."""
    count = len(graph)
    order = np.argsort(graph.target, kind="stable")
    target, source = graph.target[order], graph.source[order]
    # A launch waits for the begin of an operation: that is its end less its work.
    lags = np.where(graph.reason == Edge.QUEUE, -graph.us[graph.source], graph.lag_us)[order].tolist()
    places = (source - graph.back[order] * count).tolist()
    first = np.searchsorted(target, np.arange(count + 1)).tolist()
    nodes = list(zip(graph.resource.tolist(), graph.us.tolist(), first, first[1:], strict=False))
    free = graph.carried_us.tolist()
    ends: list[float] = []
    for base in range(0, passes * count, count):
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
    return np.array(ends).reshape(passes, count)


def traced_ms(graph: Graph) -> float:
    """Return the mean step of the trace as the replay gives it: from the first begin to the device's last end."""
    return float(run(graph)[0][graph.ours].max(initial=0.0)) / graph.steps / US_PER_MS


def steady_ms(graph: Graph) -> float:
    """Return the step time of a long training that goes on as the trace does."""
    passes = max(FEWEST_PASSES, min(ceil(STEPS / graph.steps), MOST_NODES // max(len(graph), 1)))
    reached = run(graph, passes).max(axis=1)
    half = passes // 2
    pace = float(reached[-1] - reached[half - 1]) / (passes - half)
    # No resource does its work faster than one thing after the other, however much lay ready at the start.
    serial = float(np.bincount(graph.resource, weights=graph.us).max())
    return max(pace, serial) / graph.steps / US_PER_MS
