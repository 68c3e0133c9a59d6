"""From a timeline to the step-time breakdown of every device and host, and which device is the slowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.account import Traced
from gpuprobe.ledger.joined import Met, joined
from gpuprobe.ledger.own_exchanges import of_gpus, of_processors
from gpuprobe.ledger.part import part_of
from gpuprobe.ledger.trust import told_lost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.ledger.account import Found
    from gpuprobe.ledger.exchanges import Exchanges
    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.ledger.own_exchanges import Member
    from gpuprobe.ledger.part import Part
    from gpuprobe.ledger.records import DeviceBreakdown, TraceBreakdown
    from gpuprobe.traces.timeline import Timeline


@dataclass(frozen=True)
class Workings:
    """The breakdown of a trace, what that of each device was computed from, and their matched exchanges."""

    timeline: Timeline
    breakdown: TraceBreakdown
    found: tuple[Found, ...]
    exchanged: Exchanges | None = None

    def made_of(self, device: DeviceBreakdown) -> Found:
        """Return what the breakdown of a device was computed from."""
        return next(found for found in self.found if found.breakdown is device)


def breakdown_of(timeline: Timeline) -> TraceBreakdown:
    """Return the breakdown of every step of a trace, without its workings."""
    return break_down(timeline).breakdown


def break_down(timeline: Timeline) -> Workings:
    """Account for every step of a trace. Without a GPU in it, the processor is the device.

    If no step could be found, `devices` is empty and a warning says why.
    """
    traced = Traced(timeline)
    found: list[Found] = []

    def account(waiting: Mapping[Member, Intervals]) -> list[Part]:
        found[:] = traced.account(waiting, told_lost(timeline.warnings))
        return [part_of(traced, found)]

    met = Met(
        source=timeline.source,
        format=timeline.format,
        own=of_gpus(timeline, traced.hosts) or of_processors(traced.hosts),
        unix=timeline.unix,
        ranks=timeline.ranks,
        warnings=timeline.warnings,
    )
    breakdown, exchanged = joined(met, account)
    return Workings(timeline, breakdown, tuple(found), exchanged)
