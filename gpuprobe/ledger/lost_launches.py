"""Launched work that the profiler dropped: no device shows it. And the time in which it may have run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, union
from gpuprobe.ledger.launches import NO_LAUNCH
from gpuprobe.ledger.names import COPYING, Kind
from gpuprobe.thresholds import fixed
from gpuprobe.traces.details import copy_direction
from gpuprobe.traces.names import among, distinct
from gpuprobe.traces.timeline import NO_CORRELATION
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.launches import Launches
    from gpuprobe.traces.timeline import Events, Int64s

AT_REST_PS = int(fixed.AT_REST_MS * PS_PER_MS)


@dataclass(frozen=True)
class LostLaunches:
    """The launch calls of one host whose work no device shows, sorted by start, (n,) each.

    `thread` is the index of the calling thread, `copies` tells which calls copied. `fraction` is their share of all
    launch calls (0 to 1), without those so near the end of the trace that their work may not have begun. `feeding` are
    the threads that launched the work that the devices show.
    """

    fraction: float
    launch_ps: Int64s
    thread: Int64s
    copies: NDArray[np.bool_]
    feeding: frozenset[int]

    def of(self, threads: Collection[int]) -> LostLaunches:
        """Return the lost calls of one device: of the threads that feed it, and of threads that feed no device."""
        others = np.array(sorted(self.feeding - set(threads)), np.int64)
        chosen = ~among(self.thread, others)
        return replace(self, launch_ps=self.launch_ps[chosen], thread=self.thread[chosen], copies=self.copies[chosen])


def lost_launches(host: TracedHost) -> LostLaunches:
    """Find the launch calls of a host whose work no device shows."""
    work = [events for device in host.devices for events in (device.kernels, device.copies) if len(events)]
    launching = _launching(work, host)
    columns: list[list[Int64s]] = [[np.empty(0, np.int64)] for _ in range(5)]
    for index, thread in enumerate(host.threads):
        events = thread.events
        if not len(events.correlation):
            continue
        launches = ((host.kinds[index] & Kind.LAUNCH) != 0) | launching[events.name]
        calls = np.flatnonzero(launches & (events.correlation != NO_CORRELATION))
        start, name = events.start_ps[calls], events.name[calls].astype(np.int64)
        end = start + events.duration_ps[calls]
        launched = (events.correlation[calls], start, end, name, np.full(len(calls), index))
        for column, values in zip(columns, launched, strict=True):
            column.append(values)
    ids, start, end, name, place_of = (np.concatenate(column) for column in columns)
    missing = ~among(ids, np.concatenate([np.empty(0, np.int64), *(events.correlation for events in work)]))
    begun = end <= _begun_until(work, host)
    chosen = np.flatnonzero(missing)
    chosen = chosen[np.argsort(start[chosen], kind="stable")]
    copying = np.array([COPYING in text for text in host.names], np.bool_)
    return LostLaunches(
        fraction=float(missing[begun].mean()) if begun.any() else 0.0,
        launch_ps=start[chosen],
        thread=place_of[chosen],
        copies=copying[name[chosen]],
        feeding=frozenset(distinct(place_of[~missing])[0].tolist()),
    )


def blind(work: Launches, missing: LostLaunches) -> Intervals:
    """Return the time of a device in which work that the trace does not show may have run.

    It ran after the work launched before it, and before the work launched after it. No lost kernel is taken to be
    longer than the longest kernel in the trace.
    """
    known = np.flatnonzero(work.launch_ps != NO_LAUNCH)
    launch = missing.launch_ps
    if not len(launch) or not len(known):
        return Intervals()
    known = known[np.argsort(work.launch_ps[known], kind="stable")]
    after = np.searchsorted(work.launch_ps[known], launch, side="right")
    done = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(work.end_ps[known])])
    begun = np.append(np.minimum.accumulate(work.start_ps[known][::-1])[::-1], np.iinfo(np.int64).max)
    start = np.maximum(launch, done[after])
    # Several lost calls in the same place ran one after the other.
    in_a_row = np.bincount(after, minlength=len(known) + 1)[after]
    longest = int((work.end_ps - work.start_ps).max())
    end = np.where(missing.copies, begun[after], np.minimum(begun[after], start + in_a_row * longest))
    return union(start, end)


def _launching(work: Sequence[Events], host: TracedHost) -> NDArray[np.bool_]:
    """Tell which names, (n,) bool, are those of device work: TensorFlow 2.3 named a launch call after that work."""
    named = np.array([copy_direction(text) is not None for text in host.names], np.bool_)
    for events in work:
        named[events.name] = True
    return named


def _begun_until(work: Sequence[Events], host: TracedHost) -> int:
    """Return the instant (ps) up to which all launched work has surely begun."""
    if not work:
        return np.iinfo(np.int64).min
    ended = max(int(events.end_ps.max()) for events in work)
    longest = max(int(events.duration_ps.max()) for events in work)
    latest = host.last_ps - AT_REST_PS - longest
    # A device that is idle before the end of the trace had begun all work launched before that.
    started = max(int(events.start_ps[-1]) for events in work)
    return max(started, latest) if ended <= latest else started
