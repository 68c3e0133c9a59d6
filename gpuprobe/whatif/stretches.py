"""Divides a graph into stretches, each of which can be replayed as whole arrays instead of node by node."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gpuprobe.whatif.graph import Floats, Graph, Ints


@dataclass(frozen=True)
class Stretch:
    """Nodes that follow each other on one resource and wait, in the same pass, for nothing but earlier stretches.

    `nodes` (k,) are their numbers in the graph. Those at the indices `waiting` (w,) of the stretch wait for others: the
    edges of the first for `source[first[0]:first[1]]`, and so on, (e,) nodes of the graph, less its length for each
    pass back; `edges` (e,) are the numbers of these edges in the graph.
    """

    resource: int
    nodes: Ints
    waiting: Ints
    first: Ints
    source: Ints
    edges: Ints

    def ends(self, us: Floats, lag_us: Floats, ended: Floats, free: float) -> Floats:
        """Return when each node ends, (k,) us, by the recursion of Lindley (1952) for a queue of one server.

        `us` (k,) are the lengths of the nodes, `lag_us` (e,) what follows the ends of what they wait for, `ended` (e,);
        before `free` the resource is busy.
        """
        total = np.cumsum(us)
        if not len(self.waiting):
            return total + free
        ready = np.full(len(us), free)
        ready[self.waiting] = np.maximum.reduceat(ended + lag_us, self.first)
        # A node ends as if the resource had worked without a pause since the last node that had to wait.
        return total + np.maximum(np.maximum.accumulate(ready - (total - us)), free)


# The graphs divided last. A change of lengths leaves the division as it is, and dividing takes longer than replaying.
_DIVIDED: deque[tuple[Graph, list[Stretch]]] = deque(maxlen=8)
SHAPE = ("resource", "target", "source", "back")


def stretches(graph: Graph) -> list[Stretch]:
    """Divide a graph into its stretches, each after all that it waits for."""
    for known, divided in _DIVIDED:
        if all(getattr(known, name) is getattr(graph, name) for name in SHAPE):
            return divided
    divided = _divided(graph)
    _DIVIDED.append((graph, divided))
    return divided


def _divided(graph: Graph) -> list[Stretch]:
    if not len(graph):
        return []
    order = np.argsort(graph.target, kind="stable")
    target = graph.target[order]
    level = _levels(graph, order)
    along = np.lexsort((np.arange(len(graph)), graph.resource, level))
    index = np.empty(len(graph), np.int64)
    index[along] = np.arange(len(graph))
    starts = np.flatnonzero(np.diff(level[along], prepend=-1) | np.diff(graph.resource[along], prepend=-1))
    # The edges in the order of the indices of the nodes that wait.
    by_place = np.argsort(index[target], kind="stable")
    order, at = order[by_place], index[target][by_place]
    bounds = np.append(starts, len(graph))
    cuts = np.searchsorted(at, bounds)
    source = graph.source[order] - graph.back[order] * len(graph)
    divided = []
    for begin, end, low, high in zip(bounds, bounds[1:], cuts, cuts[1:], strict=False):
        waiting, first = np.unique(at[low:high] - begin, return_index=True)
        nodes = along[begin:end]
        resource = int(graph.resource[nodes[0]])
        divided.append(Stretch(resource, nodes, waiting, first, source[low:high], order[low:high]))
    return divided


def _levels(graph: Graph, order: Ints) -> Ints:
    """Return the number of stretches that each node comes after, (n,): one more than any that it waits for."""
    now = graph.back[order] == 0
    target, source = graph.target[order][now], graph.source[order][now].tolist()
    first = np.searchsorted(target, np.arange(len(graph) + 1)).tolist()
    reached = [0] * (int(graph.resource.max()) + 1)
    levels: list[int] = []
    for node, resource in enumerate(graph.resource.tolist()):
        level = reached[resource]
        for edge in range(first[node], first[node + 1]):
            if levels[source[edge]] >= level:
                level = levels[source[edge]] + 1
        reached[resource] = level
        levels.append(level)
    return np.array(levels)
