"""The breakdown of a single trace, alone or as part of a job: small, however long the trace is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.names import framework
from gpuprobe.ledger.pipeline import host_breakdown
from gpuprobe.ledger.trace_contents import GpuContents, TraceContents
from gpuprobe.units import PS_PER_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.device_breakdown import DeviceWorkings, PreparedTrace
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown
    from gpuprobe.traces.timeline import Timeline


@dataclass(frozen=True)
class TimelineBreakdown:
    """The breakdown of a trace's devices and hosts; `clock` is when its steps began and ended (Unix ns, or None)."""

    devices: tuple[DeviceBreakdown, ...]
    hosts: tuple[HostBreakdown, ...]
    clock: tuple[int, int] | None
    framework: str
    contents: TraceContents


def timeline_breakdown(traced: PreparedTrace, devices: Sequence[DeviceWorkings]) -> TimelineBreakdown:
    """Return the breakdown of a trace from those of its devices."""
    timeline = traced.timeline
    return TimelineBreakdown(
        devices=tuple(device.breakdown for device in devices),
        hosts=_host_breakdowns(devices),
        clock=_unix_span(timeline, devices),
        framework=framework(timeline.names, traced.kinds),
        contents=TraceContents(
            gpus=tuple(GpuContents(gpu.name, len(gpu.kernels), len(gpu.copies)) for gpu in timeline.devices),
            others=timeline.others,
            events=any(len(thread.events) for thread in timeline.threads),
            launched=traced.launched,
        ),
    )


def _host_breakdowns(devices: Sequence[DeviceWorkings]) -> tuple[HostBreakdown, ...]:
    """Return the breakdown of each host once, over the steps of its first device."""
    first = {device.host.name: device for device in reversed(devices)}
    names = dict.fromkeys(device.host.name for device in devices)
    return tuple(host_breakdown(first[name].host, first[name].windows) for name in names)


def _unix_span(timeline: Timeline, devices: Sequence[DeviceWorkings]) -> tuple[int, int] | None:
    if not timeline.unix or not devices:
        return None
    began = min(int(device.windows.start_ps[0]) for device in devices)
    ended = max(int(device.windows.end_ps[-1]) for device in devices)
    return timeline.origin_ns + began // PS_PER_NS, timeline.origin_ns + ended // PS_PER_NS
