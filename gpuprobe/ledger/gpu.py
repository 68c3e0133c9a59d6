"""The account of one GPU: every instant of every step given to one category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.categories import BUSY, COPIES, IDLE, UNATTRIBUTED
from gpuprobe.ledger.intervals import Intervals, between, difference, intersection, join, sweep, union
from gpuprobe.ledger.launches import NO_LAUNCH, Launches, launches, reads
from gpuprobe.ledger.lost import Lost, blind
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.steps import Windows, find
from gpuprobe.traces.timeline import Direction

if TYPE_CHECKING:
    from gpuprobe.ledger.host import Host
    from gpuprobe.traces.timeline import Device, Timeline

# Python between two operations leaves holes of tens of microseconds in what the profiler sees of a thread. In a hole
# longer than this, and where no training function is known, the host was not dispatching.
SILENT_PS = 1_000_000_000
# Memsets and copies from device to device move data within the device, and so does what the trace names no further.
_CATEGORY_OF_DIRECTION: dict[int, str] = {Direction.H2D: "gpu_copy_h2d", Direction.D2H: "gpu_copy_d2h"}


@dataclass(frozen=True)
class GpuTime:
    """Where one GPU's time went: `parts` by category, exclusive, over all steps; the rest is what they come from."""

    device: Device
    windows: Windows
    work: Launches
    lost: Lost
    parts: dict[str, Intervals]
    busy: Intervals
    kernels: Intervals
    copies: Intervals
    span: Intervals


def gpu_time(timeline: Timeline, device: Device, host: Host, lost: Lost, waiting: Intervals) -> GpuTime | None:
    """Give every instant of a GPU's steps to one category; None where it did nothing or no step can be found.

    `lost` are the launch calls of its host whose work the trace does not show; `waiting` is when the device was in a
    collective that another had not reached.
    """
    work = launches(device, host)
    if not len(work.start_ps):
        return None
    span = between(int(work.start_ps[0]), int(work.end_ps.max()))
    launched = work.launch_ps[work.launch_ps != NO_LAUNCH]
    first = min(int(launched.min()), int(work.start_ps[0])) if len(launched) else int(work.start_ps[0])
    missing = lost.of(work.feeding)
    # What was launched was done, whether it is in the trace or not.
    ended = max([int(work.end_ps.max()), *missing.launch_ps[-1:].tolist()])
    windows = find(host, device.steps, (first, ended), len(device.kernels) > 0)
    if windows is None:
        return None
    busy = union(work.start_ps, work.end_ps)
    kernels = union(device.kernels.start_ps, device.kernels.end_ps)
    copies = union(device.copies.start_ps, device.copies.end_ps)
    window = union(windows.start_ps, windows.end_ps)
    got, idle = sweep(window, _busy_layers(timeline, device, waiting))
    # What dropped events may have filled is not known to be idle at all.
    unknown = difference(intersection(idle, blind(work, missing)), waiting)
    idle = difference(idle, unknown)
    others = [other for other in timeline.devices if other.host == device.host and other is not device]
    reasons, left = sweep(idle, [waiting, *_idle_layers(host, work, others, windows, busy, idle)])
    parts = dict(zip((*BUSY, *IDLE, UNATTRIBUTED), (*got, *reasons, join([left, unknown])), strict=True))
    return GpuTime(device, windows, work, missing, parts, busy, kernels, copies, span)


def _busy_layers(timeline: Timeline, device: Device, waiting: Intervals) -> list[Intervals]:
    kernels, copies = device.kernels, device.copies
    together = names.collective(timeline.names, kernels.name)
    category = np.array([_CATEGORY_OF_DIRECTION.get(d, "gpu_copy_d2d") for d in copies.direction.tolist()], "U12")
    return [
        union(kernels.start_ps[~together], kernels.end_ps[~together]),
        *(union(copies.start_ps[category == name], copies.end_ps[category == name]) for name in COPIES),
        difference(union(kernels.start_ps[together], kernels.end_ps[together]), waiting),
    ]


def _idle_layers(
    host: Host, work: Launches, others: list[Device], windows: Windows, busy: Intervals, idle: Intervals
) -> list[Intervals]:
    """What the host did, in the order of `IDLE` after its first, which is no doing of the host's."""
    feeding = work.feeding
    # The thread that calls the training function waits for its result, whether or not it launches anything itself.
    callers = [place for place in range(len(host.threads)) if np.any(host.kinds[place] & (Kind.FUNCTION | Kind.CALL))]
    # Where no launch is known, any thread may be one that launches.
    syncing = host.select(Kind.SYNC, {*feeding, *callers} if feeding else None)
    # A thread that reads from one device after the other keeps the first waiting while it reads from the next.
    reading = reads(others, host, {*feeding, *callers})
    sync = join([syncing, union(work.reads_start_ps, work.reads_end_ps), reading])
    queued, undispatched, unknown = _by_launch(work, busy, idle)
    dispatching, outside = _dispatching(host, {*feeding, *callers}, windows, idle, undispatched)
    return [
        host.compiling,
        host.select(Kind.MEMORY),
        join([host.input_wait, host.feeding]),
        sync,
        outside,
        queued,
        intersection(join([undispatched, unknown]), dispatching),
    ]


def _by_launch(work: Launches, busy: Intervals, idle: Intervals) -> tuple[Intervals, Intervals, Intervals]:
    """Part the idle time: some work was launched and not started, none was, or the next one's launch is not known."""
    if not len(busy):
        return Intervals(), Intervals(), idle
    known = work.launch_ps != NO_LAUNCH
    queued = union(work.launch_ps[known], work.start_ps[known])
    until = busy.start
    since = np.concatenate([[min(int(idle.start[0]), int(until[0]))] if len(idle) else until[:1], busy.end[:-1]])
    untold = ~known[np.searchsorted(work.start_ps, until, side="left")]
    unknown = union(since[untold], until[untold])
    return queued, difference(idle, join([queued, unknown])), unknown


def _dispatching(
    host: Host, feeding: set[int], windows: Windows, idle: Intervals, undispatched: Intervals
) -> tuple[Intervals, Intervals]:
    """When the host was on its way to the next launch, and when it was not: in the training function and outside.

    Where no training function is known, a thread that makes no call for long before a launch that is known runs
    Python of its own.
    """
    if windows.inside is not None:
        return windows.inside, difference(idle, windows.inside)
    active = host.active(feeding) if feeding else host.active(range(len(host.threads)))
    if not len(active):
        return active, Intervals()
    silent = difference(idle, active)
    long = (silent.end - silent.start) > SILENT_PS
    silence = Intervals(silent.start[long], silent.end[long])
    return difference(idle, silence), intersection(undispatched, silence) if host.tells(feeding) else Intervals()
