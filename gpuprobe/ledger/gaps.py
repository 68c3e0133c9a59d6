"""The idle stretches of a GPU: how long they are, and the events of the host in the longest."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import IDLE, UNATTRIBUTED
from gpuprobe.ledger.intervals import Intervals, between, covered, difference, intersection, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.records import Gap, GapBin, HostEvent
from gpuprobe.traces.timeline import NO_CORRELATION
from gpuprobe.units import PS_PER_MS, PS_PER_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows

EDGES_US = (0.0, 10.0, 25.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
TOP = 5
EVENTS_PER_GAP = 4
# Only the events that cover most of a gap can explain it.
LOOKED_AT = 40
# An event that covers less than this share of a gap is not named.
WORTH_NAMING = 0.05
# The names of driver calls.
DRIVER = re.compile(r"(?:cu|cuda|hip)[A-Z]|Mem(?:cpy|set)")
# Events that are themselves a reason to wait.
CAUSES = Kind.COMPILE | Kind.ONCE | Kind.MEMORY | Kind.INPUT | Kind.ITERATOR_ROOT | Kind.ITERATOR | Kind.SYNC


def gaps_of(time: GpuTime) -> Intervals:
    """Return the stretches within the steps in which the device neither computed nor copied."""
    return difference(union(time.windows.start_ps, time.windows.end_ps), time.busy)


def histogram(gaps: Intervals) -> tuple[GapBin, ...]:
    """Count the gaps by length, and add up their time."""
    lengths_us = (gaps.end - gaps.start) / PS_PER_US
    bins = []
    for low, high in pairwise((*EDGES_US, None)):
        assert low is not None
        chosen = lengths_us[(lengths_us >= low) & (lengths_us < high if high is not None else True)]
        bins.append(GapBin(from_us=low, to_us=high, count=len(chosen), total_ms=float(chosen.sum() / 1e3)))
    return tuple(bins)


def top_gaps(windows: Windows, parts: Mapping[str, Intervals], host: TracedHost, gaps: Intervals) -> tuple[Gap, ...]:
    """Return the longest gaps, each with its time by category and the events of the host in it."""
    longest = np.argsort(gaps.start - gaps.end, kind="stable")[:TOP]
    spans = zip(gaps.start[longest].tolist(), gaps.end[longest].tolist(), strict=True)
    return tuple(gap_of(windows, parts, host, start, end) for start, end in spans)


def gap_of(windows: Windows, parts: Mapping[str, Intervals], host: TracedHost, start: int, end: int) -> Gap:
    """Describe the gap from `start` to `end` (ps); `parts` is the time of the steps by exclusive category."""
    step = max(int(np.searchsorted(windows.start_ps, start, side="right")) - 1, 0)
    gap = np.array([start]), np.array([end])
    idle = [name for name in (*IDLE, UNATTRIBUTED) if name in parts]
    causes_ps = {name: int(covered(parts[name], *gap)[0]) for name in idle}
    return Gap(
        step=step,
        start_ms=(start - int(windows.start_ps[step])) / PS_PER_MS,
        duration_ms=(end - start) / PS_PER_MS,
        causes_ms={name: ps / PS_PER_MS for name, ps in causes_ps.items() if ps},
        host=_events_in(host, start, end),
    )


def _launch_name(name: str) -> str:
    """Return the name of a launch call, marked as one where TensorFlow, until 2021, named it after its kernel."""
    return name if DRIVER.match(name) else f"launch of {name}"


def _events_in(host: TracedHost, start: int, end: int) -> tuple[HostEvent, ...]:
    """Name the innermost events of each thread that cover most of the gap; those that explain a wait come first."""
    covered_ps: dict[tuple[str, str], int] = {}
    causes: set[tuple[str, str]] = set()
    for thread, kinds in zip(host.threads, host.kinds, strict=True):
        events = thread.events
        # All events that reach into the gap start before its end.
        until = int(np.searchsorted(events.start_ps, end))
        inside = np.minimum(events.end_ps[:until], end) - np.maximum(events.start_ps[:until], start)
        reach = np.flatnonzero(inside > WORTH_NAMING * (end - start))
        reach = reach[np.argsort(-inside[reach], kind="stable")[:LOOKED_AT]]
        left = between(start, end)
        for index in sorted(reach.tolist(), key=lambda index: int(events.duration_ps[index])):
            event = between(int(events.start_ps[index]), int(events.end_ps[index]))
            launches = len(events.correlation) and events.correlation[index] != NO_CORRELATION
            name = host.names[int(events.name[index])]
            key = _launch_name(name) if launches else name, thread.name
            covered_ps[key] = covered_ps.get(key, 0) + intersection(left, event).total
            if kinds[index] & CAUSES:
                causes.add(key)
            left = difference(left, event)
    named = sorted(covered_ps.items(), key=lambda item: (item[0] not in causes, -item[1]))[:EVENTS_PER_GAP]
    return tuple(
        HostEvent(name=name, thread=thread, ms=ps / PS_PER_MS)
        for (name, thread), ps in named
        if ps > WORTH_NAMING * (end - start)
    )
