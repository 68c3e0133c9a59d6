"""Assembles the graph: sorts nodes so that each comes after all that it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.quantiles import percentile
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.whatif.graph import FIRST_STREAM, BatchSupply, Edge, Graph, Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.whatif.graph import Bools, Floats, Ints

# Nodes are ordered by time; at the same instant the making of a batch comes before its use, a launch before a kernel.
MAKING, HOSTING, RUNNING, JOINING = range(4)


@dataclass
class Assembly:
    """A graph in progress. Nodes are identified by the number that `add` returned."""

    columns: list[dict[str, np.ndarray]] = field(default_factory=list)
    edges: list[tuple[Ints, Ints, Ints, Floats, Ints]] = field(default_factory=list)
    count: int = 0

    def add(self, key: Ints, rank: int, resource: Ints | int, work: Ints | int, us: Floats, **more: np.ndarray) -> Ints:
        """Add nodes, which `key` orders among all others, and return their numbers; `more` is as in `Graph`."""
        size = len(key)
        self.columns.append(
            {
                "key": key,
                "rank": np.full(size, rank),
                "resource": np.broadcast_to(resource, size),
                "work": np.broadcast_to(work, size),
                "us": us,
                "fill": more.get("fill", np.full(size, np.nan)),
                "matrix": more.get("matrix", np.zeros(size, np.bool_)),
                "sized": more.get("sized", np.zeros(size, np.bool_)),
                "ours": more.get("ours", np.zeros(size, np.bool_)),
            }
        )
        self.count += size
        return np.arange(self.count - size, self.count)

    def wait(
        self, target: Ints, source: Ints, reason: Edge, *, back: Ints | int = 0, lag_us: Floats | float = 0.0
    ) -> None:
        """Let each target wait for its source; `back` and `lag_us` are as in `Graph`."""
        size = len(target)
        lags = np.broadcast_to(np.asarray(lag_us, np.float64), size)
        reasons = np.full(size, int(reason))
        self.edges.append((target, source, np.broadcast_to(np.asarray(back, np.int64), size), lags, reasons))

    def graph(
        self,
        *,
        steps: int,
        measured_ms: float,
        gpu: bool,
        eager: bool,
        feed: BatchSupply,
        facts: Mapping[str, float | None],
    ) -> Graph:
        """Return the graph; within a pass, edges against the order of nodes are left out."""
        joined = {name: np.concatenate([part[name] for part in self.columns]) for name in self.columns[0]}
        order = np.lexsort((joined.pop("rank"), joined.pop("key")))
        index = np.empty(len(order), np.int64)
        index[order] = np.arange(len(order))
        columns = {name: column[order] for name, column in joined.items()}
        none = (np.empty(0, np.int64),) * 3 + (np.empty(0), np.empty(0, np.int64))
        target, source, back, lag_us, reason = (np.concatenate(part) for part in zip(none, *self.edges, strict=True))
        target, source = index[target], index[source]
        kept = (source < target) | (back > 0)
        carried = np.zeros(max(int(columns["resource"].max()) + 1, FIRST_STREAM))
        return Graph(
            **columns,
            target=target[kept],
            source=source[kept],
            back=back[kept],
            lag_us=lag_us[kept],
            reason=reason[kept],
            carried_us=carried,
            steps=steps,
            measured_ms=measured_ms,
            floor_us=_floor_us(columns["us"][columns["work"] == Work.KERNEL]),
            gpu=gpu,
            eager=eager,
            compute_capability=facts.get("compute_capability"),
            feed=replace(feed, taken=index[feed.taken]),
        )


FLOOR_PERCENTILE = 1


def _floor_us(kernels: Floats) -> float:
    return min(fixed.FLOOR_US, percentile(kernels, FLOOR_PERCENTILE)) if len(kernels) else 0.0


def resources(device: Ints, stream: Ints, first: int) -> tuple[Ints, Bools]:
    """Number the streams of all devices from `first` on, (k,); and say which are of the first device, (k,)."""
    streams, row = distinct(stream)
    _, number = distinct(device * len(streams) + row)
    return first + number, device == 0
