"""The same account where the processor is the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import CPU_PRECEDENCE, UNATTRIBUTED
from gpuprobe.ledger.intervals import Intervals, difference, intersection, join, sweep, union
from gpuprobe.ledger.names import Kind, waits
from gpuprobe.ledger.steps import Windows, find
from gpuprobe.traces.timeline import Steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.ledger.host import Host

PS_PER_US = 1_000_000
# TensorFlow's GPU guide gives 20 to 40 us for a launch: a shorter operation costs more to start than to do.
LEAST_WORK_PS = 25 * PS_PER_US
# Python that goes from one operation to the next: a pause longer than this has another reason.
DISPATCH_PS = 2000 * PS_PER_US
# A compiled step leaves a handful of single operations to Python, such as those on its metrics.
MANY_OPS = 20


@dataclass(frozen=True)
class CpuTime:
    """Where the time of a run without a GPU went: `parts` by category, exclusive, over all steps.

    Two remarks lie across the categories. `overhead` is the time within functions in which no operation of some length
    ran: what starting and ordering them costs. `dispatching` is that in which Python started operations one by one.
    """

    windows: Windows
    parts: dict[str, Intervals]
    overhead: Intervals
    dispatching: Intervals


def cpu_time(host: Host) -> CpuTime | None:
    """Give every instant of a host's steps to one category; None where no step can be found."""
    windows = find(host, Steps(), None)
    if windows is None:
        return None
    window = union(windows.start_ps, windows.end_ps)
    outside = difference(window, windows.inside) if windows.inside is not None else Intervals()
    # JAX hands its programs over and goes on: the processor is not idle while one runs, wherever Python is.
    layers = [host.compiling, host.input_wait, host.running, outside, host.computing]
    (*got, running, outside, computing), left = sweep(window, layers)
    found = (*got, outside, join([running, computing]), left)
    parts = dict(zip((*CPU_PRECEDENCE, UNATTRIBUTED), found, strict=True))
    free = difference(window, join([host.compiling, host.input_wait]))
    return CpuTime(windows, parts, _overhead(host, free), intersection(_dispatching(host, windows.inside), free))


def _overhead(host: Host, free: Intervals) -> Intervals:
    called = [host.of_thread(place, Kind.CALL) for place in range(len(host.threads))]
    return difference(intersection(join(called), free), join(map(_works(host), range(len(host.threads)))))


def _works(host: Host) -> Callable[[int], Intervals]:
    """Return what gives the time of one thread in operations that are long enough to be worth their start."""
    waiting = np.array([waits(name) for name in host.names], np.bool_)

    def works(place: int) -> Intervals:
        events = host.threads[place].events
        runs = (host.kinds[place] & (Kind.OP | Kind.KERNEL_RUN)) != 0
        long = runs & ~waiting[events.name] & (events.duration_ps >= LEAST_WORK_PS)
        return union(events.start_ps[long], events.end_ps[long])

    return works


def _dispatching(host: Host, inside: Intervals | None) -> Intervals:
    """The operations that Python starts, with the pauses between one and the next; calls of functions are none.

    Within a training function that is made of such operations, each pause is one, however long others held it up.
    """
    parts = [] if inside is None else [_from_first_to_last(host, inside)]
    for place in range(len(host.threads)):
        own = host.of_thread(place, Kind.EAGER)
        near = union(own.start, own.end + DISPATCH_PS)
        # Back to where the last of each row ends: what follows it is no part of it.
        parts.append(union(near.start, near.end - DISPATCH_PS))
    return difference(join(parts), host.select(Kind.CALL))


def _from_first_to_last(host: Host, inside: Intervals) -> Intervals:
    """The stretches of the training function in which Python starts many operations."""
    begins, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for place, thread in enumerate(host.threads):
        eager = (host.kinds[place] & Kind.EAGER) != 0
        start, end = thread.events.start_ps[eager], np.maximum.accumulate(thread.events.end_ps[eager])
        low, high = np.searchsorted(start, inside.start), np.searchsorted(start, inside.end)
        many = high - low >= MANY_OPS
        begins.append(start[low[many]])
        ends.append(end[high[many] - 1])
    return union(np.concatenate(begins), np.concatenate(ends))
