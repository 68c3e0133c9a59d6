"""Builds the host's chain of work: what it did between one launch, wait or step and the next, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, between, difference, intersection, join, sweep, union
from gpuprobe.ledger.names import Kind
from gpuprobe.traces.names import among, distinct
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.whatif.graph import Work

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.whatif.graph import Ints
    from gpuprobe.whatif.operations import Operations


@dataclass(frozen=True)
class Chain:
    """The host's work in order, (n,) each: when it ended in the trace (ps, for joining only), how long, and what.

    `waits` are the stretches in which it waited for its input. A mark (of no length) begins each step.
    """

    end: Ints
    lasted: Ints
    work: Ints
    waits: Intervals

    def at(self, instants: Ints) -> Ints:
        """Return the last node that ends at or before each instant, -1 where none does."""
        return np.searchsorted(self.end, instants, side="right") - 1


@dataclass(frozen=True)
class Own:
    """When the host neither waited nor launched: it did work of its own (`held`), or one-time work (`once`)."""

    held: Intervals
    once: Intervals


def chain_of(host: TracedHost, windows: Windows, ops: Operations, begin: int, own: Own) -> Chain:
    """Split the host's time from `begin` (ps) on by what it did, and at each launch and step."""
    joined = ops.where(ops.joined)
    window = between(begin, _end(host, windows, ops))
    waits = intersection(host.input_wait, window)
    copying = _copying(joined)
    reads = difference(_reads(host, joined, waits, windows), copying)
    outside = difference(window, windows.inside) if windows.inside is not None else Intervals()
    launching = union(joined.call_start, joined.call_end)
    layers = {
        Work.ONCE: own.once,
        Work.COMPILE: host.compiling,
        Work.MEMORY: host.select(Kind.MEMORY, _driving(host, ops)),
        Work.INPUT: waits,
        Work.COPYING: copying,
        Work.SYNC: reads,
        Work.BETWEEN: outside,
        Work.HELD: own.held,
        Work.LAUNCH: launching,
        Work.CALL: _calls(windows, joined, waits),
    }
    got, left = sweep(window, layers.values())
    parts = dict(zip((*layers, Work.DISPATCH), (*got, left), strict=True))
    end, lasted, work = _cut(parts, np.concatenate([joined.call_start, windows.start_ps]))
    end, lasted, work = _marked(end, lasted, work, windows.start_ps[windows.start_ps >= begin])
    return Chain(end, lasted, work, waits)


def _end(host: TracedHost, windows: Windows, ops: Operations) -> int:
    """Return when the host had finished the last step: without a GPU, the end of that step."""
    until = int(windows.end_ps[-1])
    if not len(ops):
        return until
    spans = [windows.inside or Intervals(), host.input_wait, host.select(Kind.SYNC, _driving(host, ops))]
    begun = [part.end[part.start < until] for part in spans]
    return max([int(ops.call_end.max()), *(int(ends[-1]) for ends in begun if len(ends))])


def _driving(host: TracedHost, ops: Operations) -> set[int]:
    """Return the indices of the threads that launch or call the training function: others keep no launch waiting."""
    calls = host.calls
    launching = among(calls.start_ps, ops.call_start)
    feeding = set(distinct(calls.thread[launching])[0].tolist())
    callers = {index for index in range(len(host.threads)) if np.any(host.kinds[index] & (Kind.FUNCTION | Kind.CALL))}
    return feeding | callers


def _copying(joined: Operations) -> Intervals:
    """Return the calls that copy to a device and return when the copy is done."""
    inside = joined.blocking
    return union(joined.call_start[inside], joined.call_end[inside])


def _reads(host: TracedHost, joined: Operations, waits: Intervals, windows: Windows) -> Intervals:
    """Return the calls that wait for a device, and waits without such a call.

    A copy to the host is read there, so a host that does nothing else until the copy is done waits for it.
    """
    d2h = joined.work == Work.D2H
    doing = np.sort(np.concatenate([joined.call_start, waits.start, windows.start_ps]))
    following = np.searchsorted(doing, joined.call_start[d2h], side="right")
    until = np.append(doing, np.iinfo(np.int64).max)[following]
    done = joined.end[d2h]
    silent = done <= until
    inferred = union(joined.call_end[d2h][silent], done[silent])
    calls = union(joined.call_start[d2h], joined.call_end[d2h])
    return join([host.select(Kind.SYNC, _driving(host, joined)), calls, inferred])


def _calls(windows: Windows, joined: Operations, waits: Intervals) -> Intervals:
    """Return the parts of each call of the training function before its first wait or launch and after its last."""
    inside = windows.inside
    if inside is None or not len(inside):
        return Intervals()
    begins = np.sort(np.concatenate([joined.call_start, waits.start]))
    following = np.searchsorted(begins, inside.start)
    until = np.append(begins, np.iinfo(np.int64).max)[following]
    first = union(inside.start[until < inside.end], until[until < inside.end])
    if not len(joined):
        return first
    ends = np.sort(np.concatenate([joined.call_end, waits.end]))
    last = np.searchsorted(ends, inside.end, side="right") - 1
    since = np.append(ends, UNKNOWN)[last]
    kept = since > inside.start
    return join([first, union(since[kept], inside.end[kept])])


def _cut(parts: dict[Work, Intervals], instants: Ints) -> tuple[Ints, Ints, Ints]:
    """Join exclusive parts into one sequence, cut at the given instants: `end`, `lasted` and `work` of a `Chain`."""
    start = np.concatenate([part.start for part in parts.values()])
    end = np.concatenate([part.end for part in parts.values()])
    work = np.concatenate([np.full(len(part), int(kind)) for kind, part in parts.items()])
    order = np.argsort(start)
    start, end, work = start[order], end[order], work[order]
    if not len(start):
        return end, end, work
    cuts = np.sort(np.clip(np.concatenate([start, end, instants]), start[0], end[-1]))
    cuts = cuts[np.diff(cuts, prepend=cuts[0] - 1) > 0]
    begins, ends = cuts[:-1], cuts[1:]
    return ends, ends - begins, work[np.searchsorted(start, begins, side="right") - 1]


def _marked(end: Ints, lasted: Ints, work: Ints, marks: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the same columns with a mark where each step begins, after the nodes that end there."""
    indices = np.searchsorted(end, marks, side="right")
    zeros = np.zeros(len(marks), np.int64)
    return (
        np.insert(end, indices, marks),
        np.insert(lasted, indices, zeros),
        np.insert(work, indices, zeros + Work.MARK),
    )
