"""The record of a simulated session: every event, and what the host was doing.

All times are whole nanoseconds since the session's start.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.simulate.spec import Spec

Interval = tuple[int, int]


class Kind(Enum):
    """The kinds of operations on a device."""

    KERNEL = "kernel"
    COLLECTIVE = "collective"
    H2D = "h2d"
    D2H = "d2h"
    D2D = "d2d"


class Doing(Enum):
    """What the host may be doing while a device has nothing to do."""

    COMPILE = "compile"
    MEMORY = "memory"
    INPUT = "input"
    SYNC = "sync"
    ONCE = "once"
    HOST_WORK = "host_work"
    DISPATCH = "dispatch"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class DeviceOp:
    """One kernel, collective or copy; `call` is its launch call on the host's `thread`, `id` joins the two.

    `place` is the kernel's number within its step, from which its name and shape follow; `bytes` is the size of a copy.
    """

    kind: Kind
    device: int
    stream: int
    start_ns: int
    end_ns: int
    call: Interval
    thread: str
    id: int
    call_number: int
    place: int
    bytes: int


@dataclass(frozen=True, slots=True)
class HostEvent:
    """An event of a host thread, with the stats that TensorFlow's profiler gives it."""

    thread: str
    name: str
    start_ns: int
    end_ns: int
    stats: tuple[tuple[str, int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the train function, of `host.steps_per_execution` steps. It has one step marker in the trace."""

    number: int
    start_ns: int
    end_ns: int
    next_ns: int


@dataclass(frozen=True)
class Session:
    """A whole session.

    `calls` are those after the warm-up; `doing` are, for each device, the intervals of the host's activities.
    """

    spec: Spec
    calls: tuple[Call, ...]
    ops: tuple[DeviceOp, ...]
    host: tuple[HostEvent, ...]
    doing: tuple[dict[Doing, tuple[Interval, ...]], ...]
    call_ms: tuple[float, ...]

    @property
    def devices(self) -> int:
        """The number of devices."""
        return len(self.doing)

    @property
    def step_ms(self) -> float:
        """Mean time of one step in ms, over all calls after the warm-up."""
        return sum(self.call_ms) / len(self.call_ms) / self.spec.host.steps_per_execution

    @property
    def outside_fraction(self) -> float:
        """Share of the time (0 to 1) that the host spends outside the train function."""
        inside_ns = sum(call.end_ns - call.start_ns for call in self.calls)
        return 1 - inside_ns / (self.calls[-1].next_ns - self.calls[0].start_ns)

    @property
    def recorded(self) -> Session:
        """The part in the trace: the whole session, or one step in the style of 2020, when Keras profiled only one."""
        if self.spec.recording.style == "current":
            return self
        call = self.calls[0]
        ops = tuple(op for op in self.ops if op.call_number == call.number)
        events = tuple(event for event in self.host if event.start_ns < call.next_ns)
        return Session(self.spec, (call,), ops, events, self.doing, self.call_ms[:1])
