"""The dependency graph of a trace: pieces of work, their lengths, resources and dependencies, without start times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# The resources that every graph has; the streams of the devices follow.
HOST, PRODUCER, FIRST_STREAM = 0, 1, 2


class Work(IntEnum):
    """The kinds of a node's work: first those in the host's chain, then making batches ahead, then those of devices."""

    MARK = 0  # the start of a step
    CALL = 1  # once in each call of the training function: before its input, after its launches
    DISPATCH = 2  # on the way to the next launch; on a processor the training itself
    LAUNCH = 3  # inside a launch call
    BETWEEN = 4  # outside the training function
    COMPILE = 5
    MEMORY = 6
    INPUT = 7  # making a batch while the training waits for it, or taking one that is ready
    SYNC = 8  # inside a synchronising call, without the wait itself
    COPYING = 9  # inside a copy call that returns when the copy is done
    HELD = 10  # inside one operation, call or frame that launches nothing
    ONCE = 11  # one-time work: loading code, autotuning, a first compilation
    PRODUCE = 12  # making a batch ahead of the training
    KERNEL = 13
    COLLECTIVE = 14
    H2D = 15
    D2H = 16
    D2D = 17


class Edge(IntEnum):
    """Why one node waits for another."""

    LAUNCHED = 0  # a device operation for its launch call
    QUEUE = 1  # a launch call for room: for the begin, not the end, of an operation
    STREAM = 2  # a device operation for one on another stream
    READ = 3  # the host for the device
    COPIED = 4  # a blocking copy call for its copy
    BATCH = 5  # the training for the batch
    SLOT = 6  # the maker of batches for room in the buffer
    JOINED = 7  # a collective for the other devices
    ORDER = 8  # a batch's copy for the kernels launched before it: no trace proves it


@dataclass(frozen=True)
class BatchSupply:
    """How batches come: `kind`, and what is known of making them ahead.

    `prefetch` makes them ahead on a thread that the trace shows, `parallel` ahead on threads that it does not, `inline`
    when asked; `python` between the steps, `none` not at all. `taken` (w,) are the nodes that take a batch, in order;
    `ready` batches lay ready when the trace began, `buffer` fit. `map_share` of making a batch is its map function's,
    on `map_threads` threads; None where unknown. `computing` is the share of the pipeline's time in which operations
    compute, `unknown` that in Python code, which may compute or wait.
    """

    kind: str = "none"
    taken: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    ready: int = 0
    buffer: int = 1
    map_share: float | None = None
    map_threads: float = 1
    computing: float = 0.0
    unknown: float = 0.0


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each comes after all that it waits for; times are microseconds.

    `resource` (n,): nodes of one resource run one after the other, in this order. `work` (n,) of `Work`, `us` (n,) how
    long. Edges: `target` (m,) waits for `source` (m,) of `back` (m,) passes before (0: the same), and then for `lag_us`
    (m,) more; `reason` (m,) of `Edge`. Of kernels, `fill` (n,) is blocks per multiprocessor (NaN: unknown), `matrix`
    (n,) whether Tensor Cores could do it and do not, `sized` (n,) whether it grows with the batch; of copies, `sized`
    says that they bring the batch. With the last of `ours` (n,) a step ends. `carried_us` (r,) is how long each
    resource is busy with what came before. One pass holds `steps` steps of `measured_ms` each in the trace; `floor_us`
    is a kernel that does nothing.
    """

    resource: Ints
    work: Ints
    us: Floats
    target: Ints
    source: Ints
    back: Ints
    lag_us: Floats
    reason: Ints
    fill: Floats
    matrix: Bools
    sized: Bools
    ours: Bools
    carried_us: Floats
    steps: int
    measured_ms: float
    floor_us: float = 0.0
    gpu: bool = True
    eager: bool = False
    compute_capability: float | None = None
    feed: BatchSupply = field(default_factory=BatchSupply)

    def __len__(self) -> int:
        """Count the nodes."""
        return len(self.us)

    def does(self, *works: Work) -> Bools:
        """Tell which nodes do any of these, (n,) bool."""
        return np.isin(self.work, works)

    def scaled(self, nodes: Bools, factor: float | Floats) -> Graph:
        """Return the graph with those nodes `factor` times as long; `factor` is one number or (n,)."""
        return replace(self, us=np.where(nodes, self.us * factor, self.us))

    def without(self, *reasons: Edge) -> Graph:
        """Return the graph in which nothing waits for these reasons."""
        return self.keeping(~np.isin(self.reason, reasons))

    def keeping(self, edges: Bools) -> Graph:
        """Return the graph with only those of its edges, (m,) bool."""
        return replace(
            self,
            target=self.target[edges],
            source=self.source[edges],
            back=self.back[edges],
            lag_us=self.lag_us[edges],
            reason=self.reason[edges],
        )

    def waiting(self, target: Ints, source: Ints, back: Ints, reason: Edge, lag_us: Floats | float = 0.0) -> Graph:
        """Return the graph with more edges of one kind, (k,) each."""
        return replace(
            self,
            target=np.concatenate([self.target, target]),
            source=np.concatenate([self.source, source]),
            back=np.concatenate([self.back, back]),
            lag_us=np.concatenate([self.lag_us, np.broadcast_to(lag_us, len(target))]),
            reason=np.concatenate([self.reason, np.full(len(target), int(reason))]),
        )
