"""Joins the work of a device to the calls that launched it, and finds the threads that feed the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, union
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import among
from gpuprobe.traces.timeline import NO_CORRELATION, Direction
from gpuprobe.units import PS_PER_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Device, Int64s

WELL_BEFORE_PS, SOON_PS = int(fixed.LAUNCHED_BEFORE_US * PS_PER_US), int(fixed.STARTS_SOON_US * PS_PER_US)
# The launch time of work whose call the trace does not name.
NO_LAUNCH = np.iinfo(np.int64).min
# In place of the index of a call that the trace does not show.
NO_CALL = -1


@dataclass(frozen=True)
class Launches:
    """All work of one device, sorted by start, (n,) each: its start and end, and when its launch call began.

    `launch_ps` is NO_LAUNCH where the call is not known. `feeding` are the indices of the host's threads that launched
    any of the work; `computing` are those that launched kernels, and `kernels_ps`, sorted, is when those launches
    began. `reads_start_ps` and `reads_end_ps` are the calls that copied from the device to the host.
    """

    start_ps: Int64s
    end_ps: Int64s
    launch_ps: Int64s
    feeding: tuple[int, ...]
    kernels_ps: Int64s
    computing: tuple[int, ...]
    reads_start_ps: Int64s
    reads_end_ps: Int64s

    @property
    def joined_fraction(self) -> float:
        """The share of the device's work whose launch call is known (0 to 1)."""
        return float((self.launch_ps != NO_LAUNCH).mean()) if len(self.launch_ps) else 0.0


def launches(device: Device, host: TracedHost) -> Launches:
    """Join the kernels and copies of a device to the calls that launched them, by correlation id."""
    kernels, copies = device.kernels, device.copies
    start = np.concatenate([kernels.start_ps, copies.start_ps])
    end = np.concatenate([kernels.end_ps, copies.end_ps])
    correlation = np.concatenate([kernels.correlation, copies.correlation])
    reads = np.concatenate([np.zeros(len(kernels), np.bool_), copies.direction == Direction.D2H])
    order = np.argsort(start, kind="stable")
    start, end, correlation, reads = start[order], end[order], correlation[order], reads[order]
    calls = host.calls
    index = called_by(host, correlation)
    is_known = index != NO_CALL
    known_calls = index[is_known]
    launch = np.full(len(start), NO_LAUNCH, np.int64)
    launch[is_known] = calls.start_ps[known_calls]
    read = index[is_known & reads]
    starts_kernel = _calls(host, [kernels.correlation])
    return Launches(
        start,
        end,
        launch,
        _threads(host, known_calls),
        np.sort(calls.start_ps[starts_kernel]),
        _threads(host, starts_kernel),
        calls.start_ps[read],
        calls.end_ps[read],
    )


def reads(devices: Sequence[Device], host: TracedHost, threads: set[int]) -> Intervals:
    """Return when any of the threads was in a call that copies from one of the devices to the host."""
    copied = [device.copies.correlation[device.copies.direction == Direction.D2H] for device in devices]
    calls = _calls(host, copied)
    calls = calls[among(host.calls.thread[calls], np.array(sorted(threads), np.int64))]
    return union(host.calls.start_ps[calls], host.calls.end_ps[calls])


def done_before(work: Launches, others: Sequence[Device], host: TracedHost, windows: Windows) -> Intervals:
    """Return the stretches at the end of each step in which only other devices still got kernels, by other threads.

    A call of the training function ends when the last of its devices has got its work; the other devices wait for it.
    """
    calls = _calls(host, [device.kernels.correlation for device in others])
    calls = calls[~among(host.calls.thread[calls], np.array(work.computing, np.int64))]
    own_ps, others_ps = work.kernels_ps, np.sort(host.calls.end_ps[calls])
    if not len(own_ps) or not len(others_ps):
        return Intervals()
    last_own = own_ps[np.maximum(np.searchsorted(own_ps, windows.end_ps) - 1, 0)]
    last_other = others_ps[np.maximum(np.searchsorted(others_ps, windows.end_ps, side="right") - 1, 0)]
    waits = (last_own >= windows.start_ps) & (last_own < last_other)
    return Intervals(last_own[waits], last_other[waits])


def left_waiting(work: Launches, calls_ps: Int64s, busy: Intervals) -> Intervals:
    """Return the gaps before work that had been launched well before the device came to rest: no launch is late there.

    `calls_ps` (n,) is when the host launches, sorted. A driver that hands launches over in batches (WDDM) leaves such
    gaps too, while the host launches the next batch: they count only where it launches nothing, or is far ahead.
    """
    known = np.sort(work.launch_ps[work.launch_ps != NO_LAUNCH])
    if len(busy) < 2 or not len(known):
        return Intervals()
    begin, end = busy.end[:-1], busy.start[1:]
    launch = work.launch_ps[np.searchsorted(work.start_ps, end)]
    waits = (launch != NO_LAUNCH) & (launch < begin - WELL_BEFORE_PS) & (end - begin > SOON_PS)
    launching = np.searchsorted(calls_ps, end) > np.searchsorted(calls_ps, begin)
    ahead = np.searchsorted(known, begin) - np.searchsorted(work.start_ps, begin, side="right")
    chosen = waits & (~launching | (ahead > fixed.LAUNCHES_AHEAD))
    return Intervals(begin[chosen], end[chosen])


def _calls(host: TracedHost, wanted: Sequence[Int64s]) -> Int64s:
    """Return the indices in `TracedHost.calls` of the calls with these correlation ids, as far as they are known."""
    index = called_by(host, np.concatenate([np.empty(0, np.int64), *wanted]))
    known: Int64s = index[index != NO_CALL]
    return known


def _threads(host: TracedHost, calls: Int64s) -> tuple[int, ...]:
    return tuple(np.flatnonzero(np.bincount(host.calls.thread[calls])).tolist())


def called_by(host: TracedHost, correlation: Int64s) -> Int64s:
    """Return the indices in `TracedHost.calls` of the calls with these ids, (n,) int64; NO_CALL where there is none."""
    known = host.calls.correlation
    index = np.searchsorted(known, correlation).astype(np.int64)
    if not len(known):
        return np.full(len(correlation), NO_CALL)
    same = (known[np.minimum(index, len(known) - 1)] == correlation) & (correlation != NO_CORRELATION)
    return np.where(same, index, NO_CALL)
