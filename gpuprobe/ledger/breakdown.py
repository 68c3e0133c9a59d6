"""From a timeline to the step-time breakdown of every device and host, and which device is the slowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.device_breakdown import PreparedTrace
from gpuprobe.ledger.job_breakdown import JobTraces, job_breakdown
from gpuprobe.ledger.own_exchanges import of_gpus, of_processors
from gpuprobe.ledger.timeline_breakdown import timeline_breakdown
from gpuprobe.ledger.trust import told_lost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.ledger.device_breakdown import DeviceWorkings
    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.ledger.own_exchanges import Member
    from gpuprobe.ledger.records import DeviceBreakdown, TraceBreakdown
    from gpuprobe.ledger.timeline_breakdown import TimelineBreakdown
    from gpuprobe.traces.timeline import Timeline


@dataclass(frozen=True)
class Workings:
    """The breakdown of a trace, what that of each device was computed from, and their matched exchanges."""

    timeline: Timeline
    breakdown: TraceBreakdown
    devices: tuple[DeviceWorkings, ...]
    exchanged: Exchanges | None = None

    def made_of(self, device: DeviceBreakdown) -> DeviceWorkings:
        """Return what the breakdown of a device was computed from."""
        return next(workings for workings in self.devices if workings.breakdown is device)


def breakdown_of(timeline: Timeline) -> TraceBreakdown:
    """Return the breakdown of every step of a trace, without its workings."""
    return break_down(timeline).breakdown


def break_down(timeline: Timeline) -> Workings:
    """Return the breakdown of every step of a trace, with its workings. Without a GPU, the processor is the device.

    If no step could be found, `devices` is empty and a warning says why.
    """
    traced = PreparedTrace(timeline)
    devices: list[DeviceWorkings] = []

    def account(waiting: Mapping[Member, Intervals]) -> list[TimelineBreakdown]:
        devices[:] = traced.account(waiting, told_lost(timeline.warnings))
        return [timeline_breakdown(traced, devices)]

    job = JobTraces(
        source=timeline.source,
        format=timeline.format,
        exchanges=of_gpus(timeline, traced.hosts) or of_processors(traced.hosts),
        unix=timeline.unix,
        ranks=timeline.ranks,
        warnings=timeline.warnings,
    )
    breakdown, exchanged = job_breakdown(job, account)
    return Workings(timeline, breakdown, tuple(devices), exchanged)
