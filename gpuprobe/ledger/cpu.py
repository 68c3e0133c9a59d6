"""The step-time breakdown where the processor is the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import CPU_PRECEDENCE, UNATTRIBUTED
from gpuprobe.ledger.intervals import Intervals, covered, difference, intersection, join, sweep, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.once import compiled_once
from gpuprobe.ledger.steps import Windows, find
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import Steps
from gpuprobe.units import PS_PER_MS, PS_PER_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.ledger.host import TracedHost

LEAST_WORK_PS = int(fixed.OPERATION_WORKS_US * PS_PER_US)
DISPATCH_PS = int(fixed.DISPATCH_MS * PS_PER_MS)
# Operations that are started one by one, in TensorFlow and in PyTorch.
ONE_BY_ONE = Kind.EAGER | Kind.ATEN


@dataclass(frozen=True)
class CpuTime:
    """Where the time of a run without a GPU went: `parts` by category, exclusive, over all steps.

    `cpu_dispatch` is what it takes to call compiled functions and to start their operations, or single ones: Python's
    way into the call, the executor on its way from one operation to the next (those that are too cheap for the
    profiler to note included), and handing over from thread to thread. Python that runs within an operation is none.

    Two remarks lie across the categories. `overhead` is the time in which a compiled function was called or ran and
    no operation of some length did: what starting and ordering them costs. `dispatching` is that in which Python
    started operations one by one.
    """

    windows: Windows
    parts: dict[str, Intervals]
    overhead: Intervals
    dispatching: Intervals


def cpu_time(host: TracedHost, waiting: Intervals) -> CpuTime | None:
    """Give every instant of a host's steps to one category; None where no step can be found.

    `waiting` is when the host was in an exchange that another had not reached.
    """
    windows = find(host, Steps(), None)
    if windows is None:
        return None
    window = union(windows.start_ps, windows.end_ps)
    outside = difference(window, windows.inside) if windows.inside is not None else Intervals()
    # JAX hands its programs over and goes on: the processor is not idle while one runs, wherever Python is.
    called = join([host.select(Kind.CALL), _calling(host, windows)])
    one_by_one = difference(windows.of_step(_dispatching(host, windows.inside)), called)
    fed = join([host.input_wait, host.feeding, difference(host.converting, one_by_one)])
    called = difference(called, host.blocked)
    exchanging = [waiting, host.exchanging]
    once = compiled_once(host, windows).time
    # What a function of Python or a preprocessing layer takes of the step is no training: it could be done ahead.
    others = [*exchanging, host.preparing, join([called, one_by_one])]
    layers = [difference(host.compiling, once), once, fed, host.running, outside, host.computing, *others]
    (compiling, first, input_wait, running, outside, computing, *others), left = sweep(window, layers)
    found = (compiling, first, input_wait, outside, join([running, computing]), *others, left)
    parts = dict(zip((*CPU_PRECEDENCE, UNATTRIBUTED), found, strict=True))
    free = difference(window, join([host.compiling, fed]))
    works = join(map(_works(host), range(len(host.threads))))
    overhead = difference(intersection(called, free), join([works, host.running]))
    started = difference(intersection(one_by_one, free), join(map(_computes_itself(host), range(len(host.threads)))))
    return CpuTime(windows, parts, overhead, started)


def _calling(host: TracedHost, windows: Windows) -> Intervals:
    """The training function's own events, where it was compiled: all the Python in them is the framework's.

    One that is told to run eagerly has such events too, but calls nothing that was compiled.
    """
    if windows.inside is None or not windows.compiled:
        return Intervals()
    inside = windows.inside
    kept = covered(host.select(Kind.CALL), inside.start, inside.end) > 0
    return Intervals(inside.start[kept], inside.end[kept])


def _works(host: TracedHost) -> Callable[[int], Intervals]:
    """Return what gives the time of one thread in operations that are long enough to be worth their start."""

    def works(place: int) -> Intervals:
        events = host.threads[place].events
        runs = (host.kinds[place] & (Kind.OP | Kind.KERNEL_RUN)) != 0
        long = runs & ~host.waits[events.name] & (events.duration_ps >= LEAST_WORK_PS)
        return union(events.start_ps[long], events.end_ps[long])

    return works


def _computes_itself(host: TracedHost) -> Callable[[int], Intervals]:
    """Return what gives the time of one thread in operations of PyTorch that are worth their start.

    TensorFlow computes in events of its own; here the event that starts an operation ends when it is computed.
    """

    def computes(place: int) -> Intervals:
        events = host.threads[place].events
        long = ((host.kinds[place] & Kind.ATEN) != 0) & (events.duration_ps >= LEAST_WORK_PS)
        return union(events.start_ps[long], events.end_ps[long])

    return computes


def _dispatching(host: TracedHost, inside: Intervals | None) -> Intervals:
    """The operations that Python starts, with the pauses between one and the next.

    Within a training function that is made of such operations, each pause is one, however long others held it up.
    """
    parts = [] if inside is None else [_from_first_to_last(host, inside)]
    for place in range(len(host.threads)):
        own = host.of_thread(place, ONE_BY_ONE)
        near = union(own.start, own.end + DISPATCH_PS)
        # Back to where the last of each row ends: what follows it is no part of it.
        parts.append(union(near.start, near.end - DISPATCH_PS))
    return join(parts)


def _from_first_to_last(host: TracedHost, inside: Intervals) -> Intervals:
    """The stretches of the training function in which Python starts many operations."""
    begins, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for place, thread in enumerate(host.threads):
        eager = (host.kinds[place] & ONE_BY_ONE) != 0
        start, end = thread.events.start_ps[eager], np.maximum.accumulate(thread.events.end_ps[eager])
        low, high = np.searchsorted(start, inside.start), np.searchsorted(start, inside.end)
        many = high - low >= fixed.SINGLE_OPERATIONS
        begins.append(start[low[many]])
        ends.append(end[high[many] - 1])
    return union(np.concatenate(begins), np.concatenate(ends))
