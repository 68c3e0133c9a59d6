"""What the threads of one host did, as sets of time by kind of event."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, difference, join, union
from gpuprobe.ledger.names import Kind, kinds, prepares, waits
from gpuprobe.ledger.stages import THREADS
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import NO_CORRELATION, UNKNOWN
from gpuprobe.units import PS_PER_US

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int32s, Int64s, Thread, Timeline


LEAST_COPY_PS = int(fixed.COPY_US * PS_PER_US)


@dataclass(frozen=True)
class Calls:
    """The calls with a correlation id, (n,) each, sorted by that id; `thread` is an index in the host's threads."""

    correlation: Int64s
    start_ps: Int64s
    end_ps: Int64s
    thread: Int64s


class TracedHost:
    """The threads of one host of a timeline, each event with its kind."""

    def __init__(self, timeline: Timeline, name: str, kind_of_name: NDArray[np.int32] | None = None) -> None:
        self.name, self.names = name, timeline.names
        self.threads: tuple[Thread, ...] = tuple(thread for thread in timeline.threads if thread.host == name)
        self.devices = tuple(device for device in timeline.devices if device.host == name)
        known = kinds(timeline.names) if kind_of_name is None else kind_of_name
        self.kinds = [known[thread.events.name] for thread in self.threads]

    def select(self, kind: Kind, among: Iterable[int] | None = None) -> Intervals:
        """Return the time in which any thread, or any of the threads at those indices, was in an event of the kind."""
        return join(self.of_thread(index, kind) for index in (range(len(self.threads)) if among is None else among))

    def of_thread(self, index: int, kind: Kind) -> Intervals:
        """Return the time in which one thread was in an event of the kind."""
        return self._spans(index, (self.kinds[index] & kind) != 0)

    def active(self, among: Iterable[int]) -> Intervals:
        """Return the time in which any of the threads was in an event; Python frames and step markers do not count."""
        return join(
            self._spans(index, ((self.kinds[index] & Kind.PYTHON) == 0) & self.unmarked(index)) for index in among
        )

    def tells(self, among: Iterable[int]) -> bool:
        """Tell whether the trace shows more of the threads than their driver calls, which carry a correlation id."""
        shown = [(self.threads[index].events.correlation, self.unmarked(index)) for index in among]
        return any(int(unmarked.sum()) > int((ids != NO_CORRELATION).sum()) for ids, unmarked in shown)

    def unmarked(self, index: int) -> NDArray[np.bool_]:
        """Tell which events of a thread are no step markers, (n,) bool: those enclose everything else."""
        thread = self.threads[index]
        if len(thread.step) != len(thread.events):
            return np.ones(len(thread.events), np.bool_)
        unmarked: NDArray[np.bool_] = thread.step == UNKNOWN
        return unmarked

    @cached_property
    def calls(self) -> Calls:
        """All calls that carry a correlation id."""
        columns: list[list[Int64s]] = [[], [], [], []]
        for index, thread in enumerate(self.threads):
            events = thread.events
            if not len(events.correlation):
                continue
            kept = events.correlation != NO_CORRELATION
            start = events.start_ps[kept]
            for column, values in zip(
                columns,
                (events.correlation[kept], start, start + events.duration_ps[kept], np.full(len(start), index)),
                strict=True,
            ):
                column.append(values)
        joined = [np.concatenate(column) if column else np.empty(0, np.int64) for column in columns]
        # By id, then by start. Of several calls with one id, the program made the first: Kineto nests a driver call in
        # a runtime call.
        order = np.lexsort((joined[1], joined[0]))
        return Calls(*(column[order] for column in joined))

    @cached_property
    def compiling(self) -> Intervals:
        """Time spent building graphs and compiling, with parts for which the profiler has no event.

        A graph is optimised between its building and the function's execution. An operation that compiles does so
        from its start on.
        """
        parts = [self.select(Kind.COMPILE)]
        for index in range(len(self.threads)):
            kind = self.kinds[index]
            if np.any(kind & Kind.COMPILE):
                parts += [self._after_building(index), self._from_start_of_op(index)]
        return join(parts)

    @cached_property
    def compilers(self) -> Intervals:
        """Time in events of building graphs and compiling, without those of what is done once for each kernel."""
        shown = Kind.COMPILE | Kind.ONCE
        return join(self._spans(index, (kinds & shown) == Kind.COMPILE) for index, kinds in enumerate(self.kinds))

    @cached_property
    def input_wait(self) -> Intervals:
        """Time in which the training waited in its iterator: the recorded waits, else the outermost iterator."""
        waiting = self.select(Kind.INPUT)
        return waiting if len(waiting) else self.select(Kind.ITERATOR_ROOT)

    @cached_property
    def waits(self) -> NDArray[np.bool_]:
        """Tell which names are operations that only wait, (names,) bool."""
        return np.array([waits(name) for name in self.names], np.bool_)

    @cached_property
    def converting(self) -> Intervals:
        """Time in which Python made tensors of large arrays, whose copying takes longer than the call itself."""
        parts = []
        for index, thread in enumerate(self.threads):
            long = thread.events.duration_ps >= LEAST_COPY_PS
            parts.append(self._spans(index, long & ((self.kinds[index] & Kind.CONVERT) != 0)))
        return join(parts)

    @cached_property
    def feeding(self) -> Intervals:
        """Time in which a loop in Python made the next batch, where an event of that name shows it."""
        return self.select(Kind.FEED)

    @cached_property
    def blocked(self) -> Intervals:
        """Time in which an operation outside the input pipeline waited for Python or for another device."""
        return join(
            self._spans(index, self.waits[thread.events.name])
            for index, thread in enumerate(self.threads)
            if not thread.name.startswith(THREADS)
        )

    @cached_property
    def computing(self) -> Intervals:
        """Time in which any thread outside the input pipeline ran an operation that neither exchanges nor prepares."""
        parts = [difference(self.select(Kind.EXECUTION), self.select(Kind.CALL))]
        for index, thread in enumerate(self.threads):
            if thread.name.startswith(THREADS):
                continue
            runs = (self.kinds[index] & (Kind.OP | Kind.KERNEL_RUN)) != 0
            waits = self.waits[thread.events.name] | ((self.kinds[index] & Kind.EXCHANGE) != 0)
            parts.append(self._spans(index, runs & ~waits & ~self.prepares[thread.events.name]))
        return join(parts)

    @cached_property
    def prepares(self) -> NDArray[np.bool_]:
        """Tell which names are operations that call Python or only occur in preprocessing, (names,) bool."""
        return np.array([prepares(name) for name in self.names], np.bool_)

    @cached_property
    def preparing(self) -> Intervals:
        """Time in which the step itself called Python or prepared samples, outside the input pipeline."""
        return join(
            self._spans(index, self.prepares[thread.events.name])
            for index, thread in enumerate(self.threads)
            if not thread.name.startswith(THREADS)
        )

    @cached_property
    def exchanging(self) -> Intervals:
        """Time in which an operation of any thread exchanged data with other workers, or waited for them."""
        return self.select(Kind.EXCHANGE)

    @cached_property
    def running(self) -> Intervals:
        """Time in which a JAX program ran. Python does not wait for it."""
        return self.select(Kind.PROGRAM)

    @cached_property
    def first_ps(self) -> int:
        """The instant at which the first event of any thread starts."""
        return min((int(thread.events.start_ps[0]) for thread in self.threads if len(thread.events)), default=0)

    @cached_property
    def last_ps(self) -> int:
        """The instant at which the last event of any thread ends."""
        return max((int(thread.events.end_ps.max()) for thread in self.threads if len(thread.events)), default=0)

    def _spans(self, index: int, mask: NDArray[np.bool_]) -> Intervals:
        events = self.threads[index].events
        if not mask.any():
            return Intervals()
        start = events.start_ps[mask]
        return union(start, start + events.duration_ps[mask])

    def _after_building(self, index: int) -> Intervals:
        events, kind = self.threads[index].events, self.kinds[index]
        built, runs, calls = ((kind & wanted) != 0 for wanted in (Kind.GRAPH, Kind.EXECUTION, Kind.CALL))
        starts, ends = events.start_ps[built], events.end_ps[built]
        run, call, name = events.start_ps[runs], events.start_ps[calls], events.name[calls]
        if not len(run):
            return Intervals()
        next_call = np.searchsorted(call, ends)
        known = next_call < len(call)
        next_call = next_call[known]
        next_run = np.searchsorted(run, call[next_call])
        # Only the first call of a function optimises its graph. A run after the end of the call belongs to another.
        inside = (next_run < len(run)) & _first_of_each(name)[next_call]
        until = run[np.minimum(next_run, len(run) - 1)]
        kept = inside & (until <= events.end_ps[calls][next_call])
        return union(starts[known][kept], until[kept])

    def _from_start_of_op(self, index: int) -> Intervals:
        events, kind = self.threads[index].events, self.kinds[index]
        compiling, ops = self.of_thread(index, Kind.COMPILE), (kind & Kind.OP) != 0
        start, end = events.start_ps[ops], events.end_ps[ops]
        if not len(start) or not len(compiling):
            return Intervals()
        last = np.searchsorted(compiling.end, end, side="right") - 1
        done = np.where(last >= 0, compiling.end[np.maximum(last, 0)], start)
        return union(start, np.minimum(done, end))


def _first_of_each(name: Int32s) -> NDArray[np.bool_]:
    """Tell at which indices (n,) a name occurs for the first time."""
    used, row = distinct(name.astype(np.int64))
    index = np.empty(len(used), np.intp)
    index[row[::-1]] = np.arange(len(name))[::-1]
    first = np.zeros(len(name), np.bool_)
    first[index] = True
    return first
