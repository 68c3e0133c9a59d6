"""What a trace tells of the time in which the host launched nothing: how often, where, in what, and how surely."""

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
    """Describe what held the host while the device idled; None where nothing did."""
    work, once = time.parts["idle_host_work"], time.parts["idle_once"]
    if not len(work) and not len(once):
        return None
    holders = time.idle.holders
    reach = _reach(holders, work)
    told = sum(int(ps) for holder, ps in zip(holders, reach, strict=True) if holder.told)
    longest = max(_by_event(holders, reach), key=lambda found: found[1], default=None)
    kind, steps = "", 0
    if longest is not None:
        name, _, mine = longest
        kind = work_kind(host.names[name], mine[0].kind) if name != UNKNOWN else ""
        steps = len(
            set(np.searchsorted(time.windows.start_ps, [holder.middle_ps for holder in mine], "right").tolist())
        )
    return HeldFacts(
        stretches=int((reach > 0).sum()),
        steps=steps,
        kind=kind,
        told_fraction=told / work.total if len(work) else None,
        proven_fraction=intersection(once, time.idle.proven).total / once.total if len(once) else None,
    )


def prepared_facts(windows: Windows, part: Intervals, events: Sequence[HostEvent]) -> HeldFacts | None:
    """Describe what a processor did in its steps that could be done before them; None where there is no such work."""
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
    """Name the events that held the host in a part of the idle time, with how much of it each did."""
    return [
        HostEvent(name=host.names[name], thread=host.threads[mine[0].thread].name, ms=ps / PS_PER_MS)
        for name, ps, mine in _by_event(holders, _reach(holders, part))
        if name != UNKNOWN
    ]


def unnamed(holders: Sequence[Holder]) -> Intervals:
    """Return the stretches that are longer than any event in them."""
    return time_of(holder for holder in holders if holder.name == UNKNOWN)


def _reach(holders: Sequence[Holder], part: Intervals) -> np.ndarray:
    starts, ends = ([getattr(one, name) for one in holders] for name in ("start_ps", "end_ps"))
    return covered(part, np.array(starts, np.int64), np.array(ends, np.int64))


def _by_event(holders: Sequence[Holder], reach: np.ndarray) -> list[tuple[int, int, list[Holder]]]:
    """Return each event's name, its time in the part, and the stretches that it held."""
    found: dict[int, tuple[int, list[Holder]]] = {}
    for holder, ps in zip(holders, reach.tolist(), strict=True):
        if ps:
            total, mine = found.get(holder.name, (0, []))
            found[holder.name] = total + ps, [*mine, holder]
    return [(name, total, mine) for name, (total, mine) in found.items()]
