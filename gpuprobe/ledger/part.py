"""What one trace says of its devices, alone or as one of a job's: small, whatever the length of the trace."""

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
    """Return what a trace says, from the breakdowns of its devices."""
    timeline = traced.timeline
    return Part(
        devices=tuple(one.breakdown for one in found),
        hosts=_described(found),
        clock=_clock(timeline, found),
        framework=framework(timeline.names, traced.kinds),
        shown=Shown(
            gpus=tuple(ShownGpu(one.name, len(one.kernels), len(one.copies)) for one in timeline.devices),
            others=timeline.others,
            events=any(len(thread.events) for thread in timeline.threads),
            launched=traced.launched,
        ),
    )


def _described(found: Sequence[Found]) -> tuple[HostBreakdown, ...]:
    """Account for each host once, over the steps of its first device."""
    first = {one.host.name: one for one in reversed(found)}
    names = dict.fromkeys(one.host.name for one in found)
    return tuple(host_breakdown(first[name].host, first[name].windows) for name in names)


def _clock(timeline: Timeline, found: Sequence[Found]) -> tuple[int, int] | None:
    if not timeline.unix or not found:
        return None
    began = min(int(one.windows.start_ps[0]) for one in found)
    ended = max(int(one.windows.end_ps[-1]) for one in found)
    return timeline.origin_ns + began // PS_PER_NS, timeline.origin_ns + ended // PS_PER_NS
