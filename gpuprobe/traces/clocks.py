"""Puts devices on the clock of their host: nothing runs before it was launched, nor after it was waited for.

A profiler turns the device's times into the host's by an offset that it measures once; where that went wrong, all of
the device's events are early or late by the same time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gpuprobe.quantiles import median, percentile
from gpuprobe.traces.names import among
from gpuprobe.traces.timeline import NO_CORRELATION, Copies, Device, Direction, Kernels, Steps
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int64s, Thread, Timeline

# So many events are looked at, from the middle of the trace, and so many are needed to tell that a clock is early.
LOOKED_AT, FEWEST = 2000, 5
# A device is at rest where nothing ran for so long.
REST_PS = 20_000_000
# Errors of the profilers' own stay as they are: below this share of the device's span the breakdown hardly moves.
EARLY_SHARE, LATE_SHARE = 0.01, 0.02
# No work waits longer on a device at rest; where the host is proved not to have waited for it, the less is enough.
LATE_PS, READ_LATE_PS = 10_000_000_000, 1_000_000_000
# What the calls that wait for a device have in their names: cuStreamSynchronize, cudaEventSynchronize.
WAITING = "ynchronize"
Moved = TypeVar("Moved", Kernels, Copies, Steps)


def aligned(timeline: Timeline) -> Timeline:
    """Return the timeline with each device moved whose clock is proved to be off, and a warning that says so."""
    offsets = [_offset_ps(device, timeline) for device in timeline.devices]
    if not any(offsets):
        return timeline
    pairs = list(zip(timeline.devices, offsets, strict=True))
    shifted = tuple(
        f"{device.name}: its clock is {abs(offset) / PS_PER_MS:,.3g} ms {'behind' if offset > 0 else 'ahead of'} its "
        "host's; its times are moved by that"
        for device, offset in pairs
        if offset
    )
    devices = tuple(_moved(device, offset) for device, offset in pairs)
    return dataclasses.replace(timeline, devices=devices, warnings=(*timeline.warnings, *shifted))


@dataclass(frozen=True)
class _Work:
    """Some of a device's work (n,), sorted by correlation id: when it starts, and whether the device rested before.

    `span_ps` is from the first event of the device to the end of the last.
    """

    start_ps: Int64s
    rested: NDArray[np.bool_]
    correlation: Int64s
    span_ps: int


def _offset_ps(device: Device, timeline: Timeline) -> int:
    """Return what to add to a device's times, 0 where nothing proves that they are wrong."""
    work = _looked_at(device)
    if len(work.start_ps) < FEWEST:
        return 0
    threads = [thread for thread in timeline.threads if thread.host == device.host]
    called, began, lasted = _calls(threads, work.correlation)
    if len(called) < FEWEST:
        return 0
    index = np.searchsorted(work.correlation, called)
    waited, rested = work.start_ps[index] - began, work.rested[index]
    # On a device at rest work begins about when the call that launched it returns, and never before it began.
    telling = waited[rested] if rested.sum() >= FEWEST else waited
    soon = int(percentile(telling, 5))
    if median(telling) < 0 and -soon > EARLY_SHARE * work.span_ps:
        return max(-soon, -int(median((waited - lasted)[rested]))) if rested.any() else -soon
    return -_late_ps(device, timeline.names, threads, waited - lasted, rested, work.span_ps)


def _late_ps(
    device: Device,
    names: Sequence[str],
    threads: list[Thread],
    begun_ps: Int64s,
    rested: NDArray[np.bool_],
    span_ps: int,
) -> int:
    """Return by how much all of a device's work is late, 0 where that is not proved."""
    if not rested.any():
        return 0
    least = int(min(percentile(begun_ps, 5), percentile(begun_ps[rested], 5)))
    if least > max(LATE_PS, LATE_SHARE * span_ps):
        return least
    proved = min(least, _read_too_late(device, names, threads))
    return proved if proved > max(READ_LATE_PS, LATE_SHARE * span_ps) else 0


def _looked_at(device: Device) -> _Work:
    start = np.concatenate([device.kernels.start_ps, device.copies.start_ps])
    if not len(start):
        return _Work(start, np.empty(0, np.bool_), start, 0)
    order = np.argsort(start, kind="stable")
    start = start[order]
    end = np.maximum.accumulate(np.concatenate([device.kernels.end_ps, device.copies.end_ps])[order])
    correlation = np.concatenate([device.kernels.correlation, device.copies.correlation])[order]
    rested = np.concatenate([[True], start[1:] - end[:-1] > REST_PS])
    known = np.flatnonzero(correlation != NO_CORRELATION)
    first = max(0, (len(known) - LOOKED_AT) // 2)
    chosen = known[first : first + LOOKED_AT]
    ranked = chosen[np.argsort(correlation[chosen], kind="stable")]
    return _Work(start[ranked], rested[ranked], correlation[ranked], int(end[-1] - start[0]))


def _calls(threads: list[Thread], wanted: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Return the ids (n,) of the wanted that a call carries, when the first call of each begins, and how long it is."""
    ids, starts, lengths = ([np.empty(0, np.int64)] for _ in range(3))
    for thread in threads:
        events = thread.events
        # Ids are given in order: most calls of a long trace lie outside the range.
        near = np.flatnonzero((events.correlation >= wanted[0]) & (events.correlation <= wanted[-1]))
        near = near[among(events.correlation[near], wanted)]
        ids.append(events.correlation[near])
        starts.append(events.start_ps[near])
        lengths.append(events.duration_ps[near])
    found, began, lasted = np.concatenate(ids), np.concatenate(starts), np.concatenate(lengths)
    order = np.lexsort((began, found))
    first = order[np.concatenate([[True], found[order][1:] != found[order][:-1]])[: len(found)]]
    return found[first], began[first], lasted[first]


def _read_too_late(device: Device, names: Sequence[str], threads: list[Thread]) -> int:
    """Return by how much copies to the host end after the calls that read them have returned (ps, median).

    A call that only hands the copy over returns too early by its nature, by about a copy's length: whoever takes this
    for a proof asks for much more. It is 0 where there is no such copy.
    """
    waits = np.array([WAITING in name for name in names], np.bool_)
    reads = device.copies.direction == Direction.D2H
    wanted, ends = device.copies.correlation[reads], device.copies.end_ps[reads]
    late: list[Int64s] = []
    for thread in threads:
        events = thread.events
        if not len(events.correlation) or not len(wanted):
            continue
        calls = np.flatnonzero(among(events.correlation, wanted) & (events.correlation != NO_CORRELATION))
        if len(calls):
            order = np.argsort(wanted, kind="stable")
            copied = ends[order][np.searchsorted(wanted[order], events.correlation[calls])]
            # Whoever only hands the copy over waits for it next.
            after = np.minimum(calls + 1, len(events.start_ps) - 1)
            after = np.where(waits[events.name[after]], after, calls)
            late.append(copied - events.end_ps[after])
    return int(median(np.concatenate(late))) if late else 0


def _moved(device: Device, offset: int) -> Device:
    if not offset:
        return device
    return dataclasses.replace(
        device,
        kernels=_later(device.kernels, offset),
        copies=_later(device.copies, offset),
        steps=_later(device.steps, offset),
    )


def _later(events: Moved, offset: int) -> Moved:
    return dataclasses.replace(events, start_ps=events.start_ps + offset)
