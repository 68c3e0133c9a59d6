"""The events of the host behind each category of idle time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.held_facts import held_by, unnamed
from gpuprobe.ledger.intervals import Intervals, covered, holds, intersection
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.records import HostEvent
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.idle import Idle

TOP = 4
_KIND_OF_CATEGORY = {
    "idle_compile": Kind.COMPILE,
    "idle_once": Kind.COMPILE,
    "idle_memory": Kind.MEMORY,
    "idle_input": Kind.INPUT | Kind.ITERATOR_ROOT | Kind.FEED | Kind.CONVERT,
    "idle_sync": Kind.SYNC,
}


def proof(
    host: TracedHost, parts: dict[str, Intervals], inside: Intervals | None, idle: Idle | None = None
) -> dict[str, tuple[HostEvent, ...]]:
    """Return the events behind each category, those that cover most of its time first.

    Between steps they are the outermost events of the calling threads, outside the training function. Where nothing was
    launched for long, they are those that held the host; on a processor, those that could run ahead of the step.
    """
    by_category = {}
    for category, kind in _KIND_OF_CATEGORY.items():
        if len(parts.get(category, Intervals())):
            masks = [(kinds & kind) != 0 for kinds in host.kinds]
            by_category[category] = _longest(host, masks, parts[category])
    between = parts.get("idle_between_steps", Intervals())
    if inside is not None and len(between):
        masks = [_outermost_outside(host, index, inside) for index in range(len(host.threads))]
        by_category["idle_between_steps"] = _longest(host, masks, between)
    prepared = parts.get("idle_host_work", Intervals())
    if idle is None and len(prepared):
        masks = [host.prepares[thread.events.name] for thread in host.threads]
        by_category["idle_host_work"] = _longest(host, masks, prepared)
    if idle is not None:
        for category in ("idle_host_work", "idle_once"):
            part = parts[category]
            named = [
                *held_by(idle.holders, host, part),
                *_short_events(host, idle, part),
                *by_category.get(category, ()),
            ]
            by_category[category] = tuple(sorted(named, key=lambda event: -event.ms)[:TOP])
    return {category: events for category, events in by_category.items() if events}


def _short_events(host: TracedHost, idle: Idle, part: Intervals) -> tuple[HostEvent, ...]:
    """Return the longest of the short events in the stretches that no single event fills."""
    stretches = intersection(part, unnamed(idle.holders))
    if not len(stretches):
        return ()
    masks = [
        host.unmarked(index) if index in idle.threads else np.zeros(len(thread.events), np.bool_)
        for index, thread in enumerate(host.threads)
    ]
    return _longest(host, masks, stretches)


def _outermost_outside(host: TracedHost, index: int, inside: Intervals) -> NDArray[np.bool_]:
    """Tell which events are the outermost outside the training function, (n,) bool; none on a thread without calls."""
    kinds, events = host.kinds[index], host.threads[index].events
    if not np.any(kinds & (Kind.FUNCTION | Kind.CALL | Kind.EXECUTION)):
        return np.zeros(len(events), np.bool_)
    out = ~holds(inside, events.start_ps) & ((kinds & Kind.FUNCTION) == 0)
    # A step marker encloses the training function, and would hide all other events.
    marked = host.threads[index].step
    if len(marked) == len(events):
        out &= marked < 0
    ends = np.where(out, events.end_ps, np.iinfo(np.int64).min)
    reached = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(ends)[:-1]]) if len(events) else ends
    outermost: NDArray[np.bool_] = out & (events.start_ps >= reached)
    return outermost


def _longest(host: TracedHost, masks: list[NDArray[np.bool_]], part: Intervals) -> tuple[HostEvent, ...]:
    covered_ps: dict[tuple[str, str], int] = {}
    for thread, mask in zip(host.threads, masks, strict=True):
        if not mask.any():
            continue
        events = thread.events
        start, name = events.start_ps[mask], events.name[mask]
        reach = covered(part, start, start + np.maximum(events.duration_ps[mask], 0))
        per_name = np.bincount(name, weights=reach)
        for used in np.flatnonzero(per_name).tolist():
            key = host.names[used], thread.name
            covered_ps[key] = covered_ps.get(key, 0) + int(per_name[used])
    longest = sorted(covered_ps.items(), key=lambda item: -item[1])[:TOP]
    return tuple(HostEvent(name=name, thread=thread, ms=time / PS_PER_MS) for (name, thread), time in longest)
