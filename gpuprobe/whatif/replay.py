"""Replays a graph: every node starts when its resource is free and all that it waits for is done."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.thresholds import fixed
from gpuprobe.units import US_PER_MS
from gpuprobe.whatif.graph import Edge
from gpuprobe.whatif.stretches import stretches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.whatif.graph import Floats, Graph
    from gpuprobe.whatif.stretches import Stretch

# A long training is simulated by repeating the trace, until buffers and queues are as full as they get.
STEPS, FEWEST_PASSES, MOST_NODES = 32, 3, 120_000
# Replaying a stretch of so many nodes as arrays takes about as long as node by node.
SHORT_STRETCH = 64


def run(graph: Graph, passes: int = 1) -> Floats:
    """Return when each node ends, (passes, n) us after the first start; each pass continues the one before."""
    return np.array(list(_passes(graph, passes)))


def traced_ms(graph: Graph) -> float:
    """Return the mean step of the trace in the replay, from the first start to the device's last end, in ms."""
    return float(run(graph)[0][graph.ours].max(initial=0.0)) / graph.steps / US_PER_MS


def steady_ms(graph: Graph) -> float:
    """Return the step time in ms of a long training that repeats the trace."""
    reached = [0.0]
    for ends in _passes(graph, passes_of(graph)):
        reached.append(float(ends.max()))
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


def _passes(graph: Graph, count: int) -> Iterator[Floats]:
    """Yield when each node ends, (n,) us, in one pass after another."""
    # A launch waits for the start of an operation: its end minus its length.
    lag_us = np.where(graph.reason == Edge.QUEUE, -graph.us[graph.source], graph.lag_us)
    divided = stretches(graph)
    by_stretch = len(graph) >= SHORT_STRETCH * len(divided)
    return _by_stretch(graph, divided, lag_us, count) if by_stretch else _by_node(graph, lag_us, count)


def _by_stretch(graph: Graph, divided: list[Stretch], lag_us: Floats, count: int) -> Iterator[Floats]:
    nodes = len(graph)
    # The first place stands for whatever came before the first pass.
    ends = np.full(1 + count * nodes, -np.inf)
    free = graph.carried_us.copy()
    work = [(stretch, graph.us[stretch.nodes], lag_us[stretch.edges]) for stretch in divided]
    for begin in range(1, len(ends), nodes):
        for stretch, us, lags in work:
            ended = ends[np.maximum(stretch.source + begin, 0)]
            made = stretch.ends(us, lags, ended, free[stretch.resource])
            ends[stretch.nodes + begin] = made
            free[stretch.resource] = made[-1]
        yield ends[begin : begin + nodes]


def _by_node(graph: Graph, lag_us: Floats, count: int) -> Iterator[Floats]:
    """Replay node by node: where host and device often wait for each other, stretches are too short to be arrays."""
    size = len(graph)
    order = np.argsort(graph.target, kind="stable")
    target, lags = graph.target[order], lag_us[order].tolist()
    indices = (graph.source[order] - graph.back[order] * size).tolist()
    first = np.searchsorted(target, np.arange(size + 1)).tolist()
    nodes = list(zip(graph.resource.tolist(), graph.us.tolist(), first, first[1:], strict=False))
    free = graph.carried_us.tolist()
    ends: list[float] = []
    for base in range(0, count * size, size):
        for resource, lasts, low, high in nodes:
            begin = free[resource]
            for edge in range(low, high):
                index = base + indices[edge]
                if index >= 0:
                    done = ends[index] + lags[edge]
                    if done > begin:  # noqa: PLR1730 - `max` costs a call for each of a million edges
                        begin = done
            begin += lasts
            free[resource] = begin
            ends.append(begin)
        yield np.array(ends[-size:])


def _even(reached: list[float]) -> bool:
    """Whether the last two passes took equally long."""
    last, before = reached[-1] - reached[-2], reached[-2] - reached[-3]
    return abs(last - before) <= fixed.PASSES_EVEN * last
