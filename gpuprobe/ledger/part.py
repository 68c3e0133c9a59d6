"""The breakdown of a single trace, alone or as part of a job: small, however long the trace is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.names import framework
from gpuprobe.ledger.pipeline import host_breakdown
from gpuprobe.ledger.shown import Shown, ShownGpu
from gpuprobe.units import PS_PER_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.account import Found, Traced
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown
    from gpuprobe.traces.timeline import Timeline


@dataclass(frozen=True)
class Part:
    """The breakdown of a trace's devices and hosts; `clock` is when its steps began and ended (Unix ns, or None)."""

    devices: tuple[DeviceBreakdown, ...]
    hosts: tuple[HostBreakdown, ...]
    clock: tuple[int, int] | None
    framework: str
    shown: Shown


def part_of(traced: Traced, found: Sequence[Found]) -> Part:
    """Return the breakdown of a trace from those of its devices."""
    timeline = traced.timeline
    return Part(
        devices=tuple(device.breakdown for device in found),
        hosts=_host_breakdowns(found),
        clock=_unix_span(timeline, found),
        framework=framework(timeline.names, traced.kinds),
        shown=Shown(
            gpus=tuple(ShownGpu(gpu.name, len(gpu.kernels), len(gpu.copies)) for gpu in timeline.devices),
            others=timeline.others,
            events=any(len(thread.events) for thread in timeline.threads),
            launched=traced.launched,
        ),
    )


def _host_breakdowns(found: Sequence[Found]) -> tuple[HostBreakdown, ...]:
    """Account for each host once, over the steps of its first device."""
    first = {device.host.name: device for device in reversed(found)}
    names = dict.fromkeys(device.host.name for device in found)
    return tuple(host_breakdown(first[name].host, first[name].windows) for name in names)


def _unix_span(timeline: Timeline, found: Sequence[Found]) -> tuple[int, int] | None:
    if not timeline.unix or not found:
        return None
    began = min(int(device.windows.start_ps[0]) for device in found)
    ended = max(int(device.windows.end_ps[-1]) for device in found)
    return timeline.origin_ns + began // PS_PER_NS, timeline.origin_ns + ended // PS_PER_NS
