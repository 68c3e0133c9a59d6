"""The step-time breakdown where the processor is the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import CPU_PRECEDENCE, UNATTRIBUTED
from gpuprobe.ledger.intervals import Intervals, covered, difference, intersection, join, sweep, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.one_time_work import compiled_once
from gpuprobe.ledger.steps import Windows, find_steps
from gpuprobe.thresholds import fixed
from gpuprobe.traces.timeline import Steps
from gpuprobe.units import PS_PER_MS, PS_PER_US

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost

LEAST_WORK_PS = int(fixed.OPERATION_WORKS_US * PS_PER_US)
DISPATCH_PS = int(fixed.DISPATCH_MS * PS_PER_MS)
# Operations that Python starts one by one, in TensorFlow and in PyTorch.
ONE_BY_ONE = Kind.EAGER | Kind.ATEN


@dataclass(frozen=True)
class CpuTime:
    """Where the time of a run without a GPU went: `parts` by exclusive category, over all steps.

    `cpu_dispatch` is the cost of calling compiled functions and of starting their operations, or single ones: Python's
    way into the call, the executor's way from one operation to the next (which includes operations too short for the
    profiler to record), and handing over from thread to thread. Python that runs within an operation does not count,
    nor does a long wait of the call for its threads, as where others have the cores (`unstarted`).

    Two more times overlap the categories. In `overhead` a compiled function was called or ran, but no operation of
    some length: it is the cost of starting and ordering operations, without those waits. In `dispatching` Python
    started operations one by one.
    """

    windows: Windows
    parts: dict[str, Intervals]
    overhead: Intervals
    dispatching: Intervals
    unstarted: Intervals


def cpu_time(host: TracedHost, waiting: Intervals) -> CpuTime | None:
    """Give every instant of a host's steps to one category; None where no step can be found.

    `waiting` is when the host was in an exchange that another host had not reached.
    """
    windows = find_steps(host, Steps(), None)
    if windows is None:
        return None
    steps = union(windows.start_ps, windows.end_ps)
    outside = difference(steps, windows.inside) if windows.inside is not None else Intervals()
    # JAX hands its programs over and goes on: while one runs the processor is not idle, wherever Python is.
    called = join([host.select(Kind.CALL), _compiled_calls(host, windows)])
    one_by_one = difference(windows.of_step(_started_by_python(host, windows.inside)), called)
    fed = join([host.input_wait, host.feeding, difference(host.converting, one_by_one)])
    called = difference(called, host.blocked)
    exchanging = [waiting, host.exchanging]
    once = compiled_once(host, windows).time
    # A Python function or a preprocessing layer in the step is no training: it could run ahead of the step.
    threads = range(len(host.threads))
    neither_fed_nor_compiling = difference(steps, join([host.compiling, fed]))
    operations = join(_long_operations(host, index, Kind.OP | Kind.KERNEL_RUN) for index in threads)
    overhead = difference(intersection(called, neither_fed_nor_compiling), join([operations, host.running]))
    unstarted = _nothing_started(host, overhead)
    others = [*exchanging, host.preparing, difference(join([called, one_by_one]), unstarted)]
    layers = [difference(host.compiling, once), once, fed, host.running, outside, host.computing, *others]
    (compiling, once_part, input_wait, running, outside, computing, *others), left = sweep(steps, layers)
    by_category = (compiling, once_part, input_wait, outside, join([running, computing]), *others, left)
    parts = dict(zip((*CPU_PRECEDENCE, UNATTRIBUTED), by_category, strict=True))
    # PyTorch's event of an operation lasts until it is computed; TensorFlow computes in events of its own.
    computed = join(_long_operations(host, index, Kind.ATEN) for index in threads)
    dispatching = difference(intersection(one_by_one, neither_fed_nor_compiling), computed)
    return CpuTime(windows, parts, difference(overhead, unstarted), dispatching, unstarted)


def _compiled_calls(host: TracedHost, windows: Windows) -> Intervals:
    """Return the training function's own events, where it was compiled: all Python in them is the framework's.

    A function that is told to run eagerly has such events too, but they contain no call of a compiled function.
    """
    if windows.inside is None or not windows.compiled:
        return Intervals()
    inside = windows.inside
    kept = covered(host.select(Kind.CALL), inside.start, inside.end) > 0
    return Intervals(inside.start[kept], inside.end[kept])


def _nothing_started(host: TracedHost, overhead: Intervals) -> Intervals:
    """Return the long stretches in which a function ran, and no thread started operations.

    Threads of the input pipeline count too: while they work the function waits for the cores that they have. None where
    the trace does not show the threads that start operations.
    """
    starting = host.select(Kind.EXECUTOR)
    if not len(starting):
        return Intervals()
    silent = difference(intersection(overhead, host.select(Kind.EXECUTION)), starting)
    long = silent.end - silent.start > DISPATCH_PS
    return Intervals(silent.start[long], silent.end[long])


def _long_operations(host: TracedHost, index: int, kind: Kind) -> Intervals:
    """Return when one thread ran operations of a kind that take longer than their start, without those that wait."""
    events = host.threads[index].events
    waits = host.waits[events.name]
    long = ((host.kinds[index] & kind) != 0) & ~waits & (events.duration_ps >= LEAST_WORK_PS)
    return union(events.start_ps[long], events.end_ps[long])


def _started_by_python(host: TracedHost, inside: Intervals | None) -> Intervals:
    """Return the operations that Python starts, with the pauses from one to the next.

    Within a training function that consists of such operations, every pause counts, however long.
    """
    parts = [] if inside is None else [_from_first_to_last(host, inside)]
    for index in range(len(host.threads)):
        own = host.of_thread(index, ONE_BY_ONE)
        near = union(own.start, own.end + DISPATCH_PS)
        # Each row of operations ends with its last one: the allowed pause after it is no part of it.
        parts.append(union(near.start, near.end - DISPATCH_PS))
    return join(parts)


def _from_first_to_last(host: TracedHost, inside: Intervals) -> Intervals:
    """Return the stretches of the training function in which Python starts many operations."""
    begins, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for index, thread in enumerate(host.threads):
        eager = (host.kinds[index] & ONE_BY_ONE) != 0
        start, end = thread.events.start_ps[eager], np.maximum.accumulate(thread.events.end_ps[eager])
        low, high = np.searchsorted(start, inside.start), np.searchsorted(start, inside.end)
        many = high - low >= fixed.SINGLE_OPERATIONS
        begins.append(start[low[many]])
        ends.append(end[high[many] - 1])
    return union(np.concatenate(begins), np.concatenate(ends))
