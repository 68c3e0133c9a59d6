"""The step-time breakdown of one GPU: every instant of every step goes to one category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.categories import BUSY, COPIES, UNATTRIBUTED
from gpuprobe.ledger.idle import GpuActivity, Idle, idle_of
from gpuprobe.ledger.intervals import Intervals, between, difference, intersection, join, sweep, union
from gpuprobe.ledger.launches import NO_LAUNCH, Launches, launches
from gpuprobe.ledger.lost_launches import LostLaunches, blind
from gpuprobe.ledger.steps import Windows, find_steps
from gpuprobe.traces.timeline import Direction

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Device, Timeline

# Memsets, copies on the device, and copies without a known direction count as copies within the device.
_CATEGORY_OF_DIRECTION: dict[int, str] = {Direction.H2D: "gpu_copy_h2d", Direction.D2H: "gpu_copy_d2h"}


@dataclass(frozen=True)
class GpuTime:
    """Where one GPU's time went: `parts` by exclusive category, over all steps; the other fields are their sources."""

    device: Device
    windows: Windows
    work: Launches
    lost: LostLaunches
    parts: dict[str, Intervals]
    idle: Idle
    busy: Intervals
    kernels: Intervals
    copies: Intervals
    span: Intervals


def gpu_time(
    timeline: Timeline, device: Device, host: TracedHost, lost: LostLaunches, waiting: Intervals
) -> GpuTime | None:
    """Give every instant of a GPU's steps to one category; None where it did nothing or no step can be found.

    `lost` are the launch calls of its host whose work the trace does not show; `waiting` is when the device was in a
    collective that another device had not reached.
    """
    work = launches(device, host)
    if not len(work.start_ps):
        return None
    span = between(int(work.start_ps[0]), int(work.end_ps.max()))
    launched = work.launch_ps[work.launch_ps != NO_LAUNCH]
    first = min(int(launched.min()), int(work.start_ps[0])) if len(launched) else int(work.start_ps[0])
    missing = lost.of(work.feeding)
    # Launched work was done, whether or not the trace shows it.
    ended = max([int(work.end_ps.max()), *missing.launch_ps[-1:].tolist()])
    windows = find_steps(host, device.steps, (first, ended), len(device.kernels) > 0)
    if windows is None:
        return None
    busy = union(work.start_ps, work.end_ps)
    kernels = union(device.kernels.start_ps, device.kernels.end_ps)
    copies = union(device.copies.start_ps, device.copies.end_ps)
    steps = union(windows.start_ps, windows.end_ps)
    busy_parts, idle = sweep(steps, _busy_layers(timeline, device, waiting))
    # Time that dropped events may have filled is not known to be idle.
    unknown = difference(intersection(idle, blind(work, missing)), waiting)
    idle = difference(idle, unknown)
    others = [other for other in timeline.devices if other.host == device.host and other is not device]
    idle_parts = idle_of(host, GpuActivity(work, windows, busy, idle, waiting, others))
    parts = dict(zip(BUSY, busy_parts, strict=True)) | idle_parts.parts
    parts[UNATTRIBUTED] = join([parts[UNATTRIBUTED], unknown])
    return GpuTime(device, windows, work, missing, parts, idle_parts, busy, kernels, copies, span)


def _busy_layers(timeline: Timeline, device: Device, waiting: Intervals) -> list[Intervals]:
    kernels, copies = device.kernels, device.copies
    collective = names.collective(timeline.names, kernels.name)
    category = np.array([_CATEGORY_OF_DIRECTION.get(d, "gpu_copy_d2d") for d in copies.direction.tolist()], "U12")
    return [
        union(kernels.start_ps[~collective], kernels.end_ps[~collective]),
        *(union(copies.start_ps[category == name], copies.end_ps[category == name]) for name in COPIES),
        difference(union(kernels.start_ps[collective], kernels.end_ps[collective]), waiting),
    ]
