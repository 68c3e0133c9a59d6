"""The pace at which the host launches, and where it is held: where it launches nothing for long, for that pace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, covered, holds, union
from gpuprobe.ledger.launches import NO_LAUNCH
from gpuprobe.ledger.names import COPYING, Kind
from gpuprobe.quantiles import median
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import among, distinct
from gpuprobe.traces.timeline import NO_CORRELATION
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.launches import Launches
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Events, Int64s

LEAST_PS = int(fixed.HELD_MS * PS_PER_MS)
LEAST_OPERATION_PS = int(fixed.HELD_OPERATION_MS * PS_PER_MS)
SLOWEST_PS = int(fixed.SLOWEST_PACE_MS * PS_PER_MS)


@dataclass(frozen=True)
class LaunchCalls:
    """The launch calls of the threads that feed a device, (n,) each, sorted by start.

    `thread` is an index in the host's threads; `kernels` tells which calls start kernels, the others copy.
    """

    start_ps: Int64s
    end_ps: Int64s
    thread: Int64s
    kernels: NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """The stretches in which nothing is launched for long, (n,) each, sorted.

    `own_ps` is the part of each without waits. `in_call` tells which lie inside one launch call; the others lie between
    two. How long is long depends on the event that the host was in. Inside an operation that launches nothing it is
    `operation_ps`, and inside any other event that launches nothing `event_ps`: neither is on the way to a launch,
    however slow launches are. Elsewhere it is `limit_ps`. `off_pace` tells which stretches are long for the pace of
    launching.
    """

    start_ps: Int64s
    end_ps: Int64s
    own_ps: Int64s
    in_call: NDArray[np.bool_]
    off_pace: NDArray[np.bool_]
    operation_ps: int
    event_ps: int
    limit_ps: int

    def __len__(self) -> int:
        """Count the stretches."""
        return len(self.start_ps)

    @property
    def slower_than_pace(self) -> Intervals:
        """The time of the stretches that are long for the pace of launching."""
        return Intervals(self.start_ps[self.off_pace], self.end_ps[self.off_pace])


def launch_calls(host: TracedHost, threads: Collection[int]) -> LaunchCalls:
    """Return the calls of those threads that launched work of the host's devices, or have the name of a launch."""
    kernels = _correlation_ids([device.kernels for device in host.devices])
    copied = _correlation_ids([device.copies for device in host.devices])
    copying = np.array([COPYING in name for name in host.names], np.bool_)
    columns: list[list[np.ndarray]] = [[np.empty(0, np.int64)] for _ in range(4)]
    for index in threads:
        events = host.threads[index].events
        ids = events.correlation if len(events.correlation) else np.full(len(events), NO_CORRELATION)
        starts_kernel, starts_copy = among(ids, kernels), among(ids, copied)
        named = (host.kinds[index] & Kind.LAUNCH) != 0
        chosen = np.flatnonzero(named | starts_kernel | starts_copy)
        copy = starts_copy | (named & ~starts_kernel & copying[events.name])
        calls = events.start_ps[chosen], events.end_ps[chosen], np.full(len(chosen), index), ~copy[chosen]
        for column, values in zip(columns, calls, strict=True):
            column.append(values)
    start, end, thread, kernel = (np.concatenate(column) for column in columns)
    order = np.argsort(start, kind="stable")
    return LaunchCalls(start[order], end[order], thread[order], kernel[order].astype(np.bool_))


def held_stretches(calls: LaunchCalls, work: Launches, windows: Windows, waits: Intervals) -> Held:
    """Find the stretches of the steps in which nothing is launched for long, compared with the pace of launching.

    The pace is that of the host while it does not wait. Work whose launch is not known counts as launched when it
    starts. `waits` is when the host waited; a long wait splits a stretch in two.
    """
    unknown = work.start_ps[work.launch_ps == NO_LAUNCH]
    calling = union(calls.start_ps, calls.end_ps)
    launched = distinct(np.concatenate([calls.start_ps, calls.end_ps, unknown]))[0]
    between = ~holds(calling, launched[:-1])
    pauses_ps = _without(waits, launched[:-1][between], launched[1:][between])
    slow_ps = _slow_ps(pauses_ps)
    slow_call_ps = min(slow_ps, _slow_ps(calls.end_ps[calls.kernels] - calls.start_ps[calls.kernels]))
    least_ps = max(LEAST_OPERATION_PS, slow_call_ps)
    long = waits.end - waits.start > LEAST_PS
    edges = waits.start[long], waits.end[long], windows.start_ps[:1], windows.end_ps[-1:]
    instants = distinct(np.concatenate([launched, *edges]))[0]
    start, end = instants[:-1], instants[1:]
    in_call = holds(calling, start)
    own_ps = _without(waits, start, end)
    chosen = (own_ps > least_ps) & (start < windows.end_ps[-1]) & (end > windows.start_ps[0])
    off_pace = own_ps[chosen] > max(LEAST_OPERATION_PS, _slow_ps(pauses_ps, fixed.OFF_PACE))
    columns = (start[chosen], end[chosen], own_ps[chosen], in_call[chosen], off_pace)
    return Held(*columns, least_ps, max(LEAST_PS, slow_call_ps), max(LEAST_PS, slow_ps))


def _without(waits: Intervals, start: Int64s, end: Int64s) -> Int64s:
    """Return the length of each stretch (n,) without the waits in it."""
    length: Int64s = end - start - covered(waits, start, end)
    return length


def _slow_ps(pauses_ps: Int64s, times: float = fixed.HELD_TIMES_PACE) -> int:
    """Return how long a pause between two launches must be to be too long for their pace, given all pauses (n,).

    That is `times` the median pause, or 0 where the pauses give no pace. Given the lengths of launch calls in place of
    pauses, the result is how long an event that launches nothing must be so that it cannot be a launch.
    """
    pace_ps = median(pauses_ps) if len(pauses_ps) >= fixed.FEWEST_PAUSES else 0.0
    return int(times * pace_ps) if pace_ps <= SLOWEST_PS else 0


def _correlation_ids(work: Sequence[Events]) -> Int64s:
    ids = np.concatenate([np.empty(0, np.int64), *(events.correlation for events in work)])
    known: Int64s = ids[ids != NO_CORRELATION]
    return known
