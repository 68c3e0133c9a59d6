"""Puts devices on the clock of their host: nothing runs before it was launched, nor after it was waited for.

A profiler turns the device's times into the host's by an offset that it measures once; where that went wrong, all of
the device's events are early or late by the same time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gpuprobe.traces.names import among
from gpuprobe.traces.timeline import NO_CORRELATION, Copies, Device, Direction, Kernels, Steps

if TYPE_CHECKING:
    from gpuprobe.traces.timeline import Int64s, Thread, Timeline

# So many of the events that begin on a device at rest are looked at, from the middle of the trace on, and at least so
# many are needed.
LOOKED_AT, FEWEST = 2000, 5
# A device is at rest where nothing ran for so long.
REST_PS = 20_000_000
# Errors of the profilers' own, which stay as they are: below this share of the device's span the account hardly moves.
EARLY_SHARE, LATE_SHARE, LATE_PS = 0.01, 0.02, 1_000_000_000
Moved = TypeVar("Moved", Kernels, Copies, Steps)


def aligned(timeline: Timeline) -> Timeline:
    """Return the timeline with each device moved whose clock is proved to be off, and a warning that says so."""
    offsets = [_offset_ps(device, timeline) for device in timeline.devices]
    if not any(offsets):
        return timeline
    pairs = list(zip(timeline.devices, offsets, strict=True))
    told = tuple(
        f"{device.name}: its clock is {abs(offset) / 1e9:,.3g} ms {'behind' if offset > 0 else 'ahead of'} its host's; "
        "its times are moved by that"
        for device, offset in pairs
        if offset
    )
    devices = tuple(_moved(device, offset) for device, offset in pairs)
    return dataclasses.replace(timeline, devices=devices, warnings=(*timeline.warnings, *told))


def _offset_ps(device: Device, timeline: Timeline) -> int:
    """Return what to add to a device's times, 0 where nothing proves that they are wrong."""
    start, end, correlation = _after_rest(device)
    if len(start) < FEWEST:
        return 0
    threads = [thread for thread in timeline.threads if thread.host == device.host]
    called, began = _calls(threads, correlation)
    if len(called) < FEWEST:
        return 0
    waited = start[np.searchsorted(correlation, called)] - began
    # On a device at rest work begins microseconds after its launch.
    early = -int(np.percentile(waited, 5))
    if np.median(waited) < 0 and early > EARLY_SHARE * (end - int(start.min())):
        return early
    late = min(int(np.percentile(waited, 5)), _read_too_late(device, threads))
    least = max(LATE_PS, LATE_SHARE * (end - int(start.min())))
    return -late if late > least else 0


def _after_rest(device: Device) -> tuple[Int64s, int, Int64s]:
    """Return when events begin before which the device rested, when the last of all ends, and their ids, sorted."""
    start = np.concatenate([device.kernels.start_ps, device.copies.start_ps])
    if not len(start):
        return start, 0, start
    order = np.argsort(start, kind="stable")
    start = start[order]
    end = np.maximum.accumulate(np.concatenate([device.kernels.end_ps, device.copies.end_ps])[order])
    correlation = np.concatenate([device.kernels.correlation, device.copies.correlation])[order]
    rested = np.flatnonzero(np.concatenate([[True], start[1:] - end[:-1] > REST_PS]) & (correlation != NO_CORRELATION))
    first = max(0, (len(rested) - LOOKED_AT) // 2)
    chosen = rested[first : first + LOOKED_AT]
    ranked = chosen[np.argsort(correlation[chosen], kind="stable")]
    return start[ranked], int(end[-1]), correlation[ranked]


def _calls(threads: list[Thread], wanted: Int64s) -> tuple[Int64s, Int64s]:
    """Return the ids (n,) of the wanted that a call carries, and when the first call of each begins."""
    ids, starts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for thread in threads:
        events = thread.events
        # Ids are given in order: most calls of a long trace lie outside the range.
        near = np.flatnonzero((events.correlation >= wanted[0]) & (events.correlation <= wanted[-1]))
        near = near[among(events.correlation[near], wanted)]
        ids.append(events.correlation[near])
        starts.append(events.start_ps[near])
    found, began = np.concatenate(ids), np.concatenate(starts)
    order = np.lexsort((began, found))
    found, began = found[order], began[order]
    first = np.concatenate([[True], found[1:] != found[:-1]])[: len(found)]
    return found[first], began[first]


def _read_too_late(device: Device, threads: list[Thread]) -> int:
    """Return by how much copies to the host end after the calls that read them have returned (ps, median).

    A call that only hands the copy over returns too early by its nature, by about a copy's length: whoever takes this
    for a proof asks for much more. It is 0 where there is no such copy.
    """
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
            # Whoever hands the copy over waits for it next: until the last of the thread's next two events has ended.
            after = np.minimum(np.stack([calls, calls + 1, calls + 2]), len(events.start_ps) - 1)
            late.append(copied - events.end_ps[after].max(axis=0))
    return int(np.median(np.concatenate(late))) if late else 0


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
