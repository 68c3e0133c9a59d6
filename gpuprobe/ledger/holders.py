"""What held the host while it launched nothing: the event that fills most of such a stretch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, join, union
from gpuprobe.ledger.names import Kind, runs_python, wraps
from gpuprobe.ledger.stages import THREADS
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.launch_pace import Held, LaunchCalls
    from gpuprobe.traces.timeline import Int64s

INTO_A_CALL_PS = int(fixed.INTO_A_CALL_MS * PS_PER_MS)
# The calls by which a framework runs a whole function.
_CALLS = Kind.FUNCTION | Kind.CALL | Kind.EXECUTION


@dataclass(frozen=True)
class Holder:
    """One stretch in which nothing was launched, and the event that the host was in; `name` and `thread` are indices.

    The stretch lasts from `start_ps` to `end_ps`; `own_ps` is the part of it without waits. The event lasts from
    `since_ps` to `until_ps`, is of a `kind`, and `launches` is the number of launches in it. `told` says whether the
    event shows what the host did: not if it encloses many launches, nor if it only says that a framework runs a
    function (`wraps`). `name` is UNKNOWN where no event fills the stretch: many short ones may.
    """

    start_ps: int
    end_ps: int
    own_ps: int
    in_call: bool
    name: int = UNKNOWN
    thread: int = UNKNOWN
    since_ps: int = 0
    until_ps: int = 0
    kind: int = 0
    launches: int = 0
    told: bool = False
    wraps: bool = False

    @property
    def launches_nothing(self) -> bool:
        """Whether the event launches nothing from its begin to its end."""
        return self.told and self.launches == 0 and self.until_ps <= self.end_ps

    @property
    def is_operation(self) -> bool:
        """Whether the event is an operation that launches nothing."""
        return self.launches_nothing and bool(self.kind & (Kind.OP | Kind.KERNEL_RUN))

    @property
    def alone(self) -> Holder:
        """The same, cut to the event: in the rest of the stretch the host may be on its way to the next launch."""
        start, end = max(self.start_ps, self.since_ps), min(self.end_ps, self.until_ps)
        return replace(self, start_ps=start, end_ps=end, own_ps=min(self.own_ps, end - start))

    @property
    def middle_ps(self) -> int:
        """The middle of the event's part of the stretch; the stretch itself may begin in the step before."""
        return (max(self.start_ps, self.since_ps) + min(self.end_ps, self.until_ps or self.end_ps)) // 2


def watched(host: TracedHost, feeding: Iterable[int]) -> tuple[int, ...]:
    """Return the indices of the threads whose events show what held the host.

    These are the threads that launch or call the training function (`feeding`), and those that run operations of
    TensorFlow. Where no launch is known, they are all threads outside the input pipeline.
    """
    chosen = set(feeding)
    every = [index for index, thread in enumerate(host.threads) if not thread.name.startswith(THREADS)]
    if not chosen:
        return tuple(every)
    runs = Kind.FUNCTION | Kind.CALL | Kind.OP
    return tuple(index for index in every if index in chosen or np.any(host.kinds[index] & runs))


def explained_time(host: TracedHost, threads: Iterable[int]) -> Intervals:
    """Return when any of the threads was in an event that says more than that a step or a whole function runs."""
    wrapper = _wrappers(host)
    parts = []
    for index in threads:
        events = host.threads[index].events
        kept = host.unmarked(index) & ~wrapper[events.name] & ((host.kinds[index] & _CALLS) == 0)
        parts.append(union(events.start_ps[kept], events.end_ps[kept]))
    return join(parts)


def time_of(stretches: Iterable[Holder]) -> Intervals:
    """Return the time of the stretches."""
    spans = [(holder.start_ps, holder.end_ps) for holder in stretches]
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    return union(starts, ends)


def holders(host: TracedHost, threads: Iterable[int], stretches: Held, calls: LaunchCalls) -> Iterator[Holder]:
    """Yield a holder for each stretch that is long for the event that held the host."""
    events = _LongEvents.of(host, threads, round(fixed.HELD_BY_HALF * stretches.operation_ps))
    columns = (stretches.start_ps, stretches.end_ps, stretches.own_ps, stretches.in_call)
    for start, end, own, in_call in zip(*(column.tolist() for column in columns), strict=True):
        holder = _holder(events, calls, Holder(start, end, own, in_call))
        if own > (max(INTO_A_CALL_PS, stretches.limit_ps) if holder.wraps else stretches.limit_ps):
            yield holder
        # Inside a launch call, only its length tells the driver's own work from the launch.
        elif in_call:
            if starts_kernel(holder, calls):
                yield holder
        elif holder.launches_nothing:
            shortest = stretches.operation_ps if holder.is_operation else stretches.event_ps
            if min(own, holder.until_ps - holder.since_ps) > shortest:
                yield holder.alone


def starts_kernel(holder: Holder, calls: LaunchCalls) -> bool:
    """Whether the stretch lies in a call that starts a kernel; such calls are usually as short as the pace."""
    if not holder.in_call:
        return False
    index = int(np.searchsorted(calls.start_ps, holder.start_ps, side="right")) - 1
    return index >= 0 and bool(calls.kernels[index])


def _holder(events: _LongEvents, calls: LaunchCalls, stretch: Holder) -> Holder:
    index = events.holder(stretch.start_ps, stretch.end_ps)
    if index is None:
        return stretch
    thread, until = int(events.thread[index]), int(events.end_ps[index])
    low, high = np.searchsorted(calls.start_ps, [events.start_ps[index], until])
    launches = int((calls.thread[low:high] == thread).sum())
    wrapper = bool(events.encloses[index])
    return replace(
        stretch,
        name=int(events.name[index]),
        thread=thread,
        since_ps=int(events.start_ps[index]),
        until_ps=until,
        kind=int(events.kind[index]),
        launches=launches,
        told=launches < fixed.LAUNCHES_MANY and not wrapper,
        wraps=wrapper,
    )


@dataclass(frozen=True)
class _LongEvents:
    """The events of some length, (n,) each; `encloses` are those that only say that a framework runs something."""

    start_ps: Int64s
    end_ps: Int64s
    name: Int64s
    thread: Int64s
    kind: Int64s
    encloses: NDArray[np.bool_]

    @classmethod
    def of(cls, host: TracedHost, threads: Iterable[int], least_ps: int) -> _LongEvents:
        wrapper = _wrappers(host)
        waiting = host.waits & ~np.array([runs_python(name) for name in host.names], np.bool_)
        columns: list[list[np.ndarray]] = [[np.empty(0, np.int64)] for _ in range(5)]
        for index in threads:
            events = host.threads[index].events
            kept = host.unmarked(index) & (events.duration_ps >= least_ps) & ~waiting[events.name]
            name, kind = events.name[kept].astype(np.int64), host.kinds[index][kept].astype(np.int64)
            long = events.start_ps[kept], events.end_ps[kept], name, np.full(len(name), index), kind
            for column, values in zip(columns, long, strict=True):
                column.append(values)
        start, end, name, thread, kind = (np.concatenate(column) for column in columns)
        return cls(start, end, name, thread, kind, wrapper[name] | ((kind & _CALLS) != 0))

    def holder(self, start: int, end: int) -> int | None:
        """Return the index of the shortest event that fills the stretch, operations first; None where none fills it."""
        filled = (np.minimum(self.end_ps, end) - np.maximum(self.start_ps, start)) / (end - start)
        lasted = self.end_ps - self.start_ps
        fills_most, fills_half = filled >= fixed.HELD_BY_MOST, filled >= fixed.HELD_BY_HALF
        preferred = (fills_half & ((self.kind & Kind.OP) != 0), fills_most, fills_half)
        chosen = next((np.flatnonzero(events) for events in preferred if events.any()), None)
        return None if chosen is None else int(chosen[np.argmin(lasted[chosen])])


def _wrappers(host: TracedHost) -> NDArray[np.bool_]:
    """Tell which names are of events that enclose whatever a framework runs, (names,) bool."""
    return np.array([wraps(name) for name in host.names], np.bool_)
