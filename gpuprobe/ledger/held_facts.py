"""Facts about the stretches in which the host launched nothing for long: how many, in which steps, in which events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.device_facts import HeldFacts
from gpuprobe.ledger.holders import time_of
from gpuprobe.ledger.host_work import work_kind
from gpuprobe.ledger.intervals import covered, intersection
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.records import HostEvent
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.holders import Holder
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.ledger.steps import Windows


def held_facts(time: GpuTime, host: TracedHost) -> HeldFacts | None:
    """Describe what held the host while the device idled; None where nothing held it."""
    work, once = time.parts["idle_host_work"], time.parts["idle_once"]
    if not len(work) and not len(once):
        return None
    holders = time.idle.holders
    reach_ps = _overlap_ps(holders, work)
    told_ps = sum(int(ps) for holder, ps in zip(holders, reach_ps, strict=True) if holder.told)
    longest = max(_by_event(holders, reach_ps), key=lambda event: event[1], default=None)
    kind, steps = "", 0
    if longest is not None:
        name, _, stretches = longest
        kind = work_kind(host.names[name], stretches[0].kind) if name != UNKNOWN else ""
        steps = len(
            set(np.searchsorted(time.windows.start_ps, [holder.middle_ps for holder in stretches], "right").tolist())
        )
    return HeldFacts(
        stretches=int((reach_ps > 0).sum()),
        steps=steps,
        kind=kind,
        told_fraction=told_ps / work.total if len(work) else None,
        proven_fraction=intersection(once, time.idle.proven).total / once.total if len(once) else None,
    )


def prepared_facts(windows: Windows, part: Intervals, events: Sequence[HostEvent]) -> HeldFacts | None:
    """Describe work in a processor's steps that could be done ahead of them; None where there is none."""
    if not events:
        return None
    return HeldFacts(
        stretches=len(part),
        steps=int((covered(part, windows.start_ps, windows.end_ps) > 0).sum()),
        kind=work_kind(events[0].name, int(Kind.OP)),
        told_fraction=1.0,
        proven_fraction=None,
    )


def held_by(holders: Sequence[Holder], host: TracedHost, part: Intervals) -> list[HostEvent]:
    """Name the events that held the host in a part of the idle time, each with its ms of that part."""
    return [
        HostEvent(name=host.names[name], thread=host.threads[stretches[0].thread].name, ms=ps / PS_PER_MS)
        for name, ps, stretches in _by_event(holders, _overlap_ps(holders, part))
        if name != UNKNOWN
    ]


def unnamed(holders: Sequence[Holder]) -> Intervals:
    """Return the stretches that no single event fills."""
    return time_of(holder for holder in holders if holder.name == UNKNOWN)


def _overlap_ps(holders: Sequence[Holder], part: Intervals) -> np.ndarray:
    """Return how much of the part each stretch covers, (n,) ps."""
    starts, ends = ([getattr(holder, name) for holder in holders] for name in ("start_ps", "end_ps"))
    return covered(part, np.array(starts, np.int64), np.array(ends, np.int64))


def _by_event(holders: Sequence[Holder], reach_ps: np.ndarray) -> list[tuple[int, int, list[Holder]]]:
    """Return each event's name, its time in the part, and the stretches in which it held the host."""
    by_name: dict[int, tuple[int, list[Holder]]] = {}
    for holder, ps in zip(holders, reach_ps.tolist(), strict=True):
        if ps:
            total_ps, stretches = by_name.get(holder.name, (0, []))
            by_name[holder.name] = total_ps + ps, [*stretches, holder]
    return [(name, total_ps, stretches) for name, (total_ps, stretches) in by_name.items()]
