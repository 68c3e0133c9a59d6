"""A trace as columns: what every reader produces and every later stage reads.

All times are int64 picoseconds after `Timeline.origin_ns`, on one clock for all hosts of the trace. Every set of
columns is sorted by start. A name is stored as its index in `Timeline.names`, so that a million events take a
million small integers and not a million strings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Int8s = NDArray[np.int8]

# The correlation id of an event that has none.
NO_CORRELATION = -1
# A figure (bytes, registers, ...) that the trace does not give.
UNKNOWN = -1


class Direction(IntEnum):
    """The direction of a copy; `SET` is a memset."""

    H2D = 0
    D2H = 1
    D2D = 2
    P2P = 3
    SET = 4
    OTHER = 5


def _int64s() -> Int64s:
    return np.empty(0, np.int64)


def _int32s() -> Int32s:
    return np.empty(0, np.int32)


@dataclass(frozen=True)
class Spans:
    """Stretches of time, sorted by start: `start_ps` and `duration_ps`, both (n,) int64."""

    start_ps: Int64s = field(default_factory=_int64s)
    duration_ps: Int64s = field(default_factory=_int64s)

    def __len__(self) -> int:
        """Count the stretches."""
        return len(self.start_ps)

    @property
    def end_ps(self) -> Int64s:
        """The ends, (n,) int64; not sorted where stretches overlap."""
        return self.start_ps + self.duration_ps


@dataclass(frozen=True)
class Events(Spans):
    """Named stretches: `name` (n,) int32 into `Timeline.names`, `correlation` (n,) int64 or NO_CORRELATION.

    A launch call on a host thread carries the correlation id of the kernel or copy that it launched.
    """

    name: Int32s = field(default_factory=_int32s)
    correlation: Int64s = field(default_factory=_int64s)


@dataclass(frozen=True)
class Kernels(Events):
    """Kernels of one device, collectives among them. `grid` and `block` are (n, 3) int32, the rest (n,).

    `op` is the name of the TensorFlow op that launched it, UNKNOWN (-1) where the trace does not say. Registers are
    per thread, shared memory is bytes per block, static and dynamic; UNKNOWN (-1) where missing. `occupancy_percent`
    is float64, NaN where missing. Of a collective, `group` is the name of its communicator and `bytes` what the device
    gives or gets, the larger; both UNKNOWN elsewhere, and empty (0,) where no kernel carries one.
    """

    stream: Int64s = field(default_factory=_int64s)
    op: Int32s = field(default_factory=_int32s)
    grid: Int32s = field(default_factory=lambda: np.empty((0, 3), np.int32))
    block: Int32s = field(default_factory=lambda: np.empty((0, 3), np.int32))
    registers: Int32s = field(default_factory=_int32s)
    shared_bytes: Int64s = field(default_factory=_int64s)
    occupancy_percent: NDArray[np.float64] = field(default_factory=lambda: np.empty(0, np.float64))
    group: Int32s = field(default_factory=_int32s)
    bytes: Int64s = field(default_factory=_int64s)


@dataclass(frozen=True)
class Copies(Events):
    """Copies and memsets of one device: `direction` (n,) int8 of `Direction`, `bytes` (n,) int64 or UNKNOWN."""

    stream: Int64s = field(default_factory=_int64s)
    direction: Int8s = field(default_factory=lambda: np.empty(0, np.int8))
    bytes: Int64s = field(default_factory=_int64s)


@dataclass(frozen=True)
class Steps(Spans):
    """Step markers: `number` (n,) int64, the step's number as the trace gives it."""

    number: Int64s = field(default_factory=_int64s)


@dataclass(frozen=True)
class Device:
    """One GPU of one host. `facts` are those facts of the card that the trace gives, by these names:

    `sm_count`, `clock_mhz`, `memory_mib`, `memory_bandwidth_gb_per_s`, `compute_capability` (as 7.0, a float), and
    `model` (a string). `steps` is the device's own `Steps` line, where the trace has one.
    """

    name: str
    host: str
    kernels: Kernels
    copies: Copies
    steps: Steps = field(default_factory=Steps)
    facts: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Thread:
    """The events of one thread of a host. They nest: a call lies within the one that made it.

    `step` (n,) int64 is the step number that an event carries itself (a marker such as `train`), UNKNOWN elsewhere.
    `producer` and `consumer` (n,) int64 join an event that hands work to another thread to the one that runs it there
    (XPlane's producer_id and consumer_id), NO_CORRELATION elsewhere. All three may be empty (0,) where no event carries
    one.
    """

    name: str
    host: str
    events: Events
    step: Int64s = field(default_factory=_int64s)
    producer: Int64s = field(default_factory=_int64s)
    consumer: Int64s = field(default_factory=_int64s)


@dataclass(frozen=True)
class Timeline:
    """One trace, of one host or several. `warnings` of the profiler or the reader are one line each.

    `origin_ns` counts from the Unix epoch where `unix` is true, else it is on a clock of the trace's own. `source` is
    the file or folder it was read from, `format` names its reader, such as `xplane`. `steps` are the markers on the
    host's threads (events that carry a step number), empty where there are none. `others` are devices whose work is not
    read: those that are no GPUs, and GPUs whose streams have unknown names. `ranks` is how many processes the job has,
    0 where neither the trace nor a recording beside it says.
    """

    source: str
    format: str
    origin_ns: int
    unix: bool
    names: tuple[str, ...]
    devices: tuple[Device, ...] = ()
    threads: tuple[Thread, ...] = ()
    steps: Steps = field(default_factory=Steps)
    warnings: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    ranks: int = 0
