"""The idle time of one GPU by what the host did meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import IDLE, UNATTRIBUTED
from gpuprobe.ledger.holders import Holder, holders, seen, time_of, watched
from gpuprobe.ledger.intervals import Intervals, difference, intersection, join, sweep, union
from gpuprobe.ledger.launches import NO_LAUNCH, Launches, done_before, reads
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.once import compiled_once, held_once
from gpuprobe.ledger.pace import held, launch_calls
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.once import Once
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Device

SILENT_PS = int(fixed.SILENT_MS * PS_PER_MS)


@dataclass(frozen=True)
class Idle:
    """The idle time by category, exclusive; what held the host; and the part of `idle_once` that one step proves.

    `threads` are the places of those whose events tell what the host did. `stalled` is the part of `idle_queue` in
    which work had been launched for long, and the host launched no more: nothing tells why it did not start. `off_pace`
    is that of `idle_launch` in pauses that are long for the pace, though nothing shows what fills them. The rest is
    when the host was held by work, whether or not the device idled: `busy_once` by what is done once, `busy_held` by
    other work.
    """

    parts: dict[str, Intervals]
    threads: tuple[int, ...]
    holders: tuple[Holder, ...]
    proven: Intervals
    stalled: Intervals
    off_pace: Intervals
    busy_once: Intervals
    busy_held: Intervals


@dataclass(frozen=True)
class _Launching:
    """The idle time by the next work: `queued` was launched and not started, `late` not launched, of `unknown` nobody
    tells. `outside` is when the host was not in the training function, `on_the_way` when it may have been on its way
    to a launch. `for_others` is when it had launched all of this device's work of a call, and not yet that of others.
    """

    queued: Intervals
    late: Intervals
    unknown: Intervals
    outside: Intervals
    on_the_way: Intervals
    for_others: Intervals


def idle_of(
    host: TracedHost,
    work: Launches,
    others: Sequence[Device],
    windows: Windows,
    busy: Intervals,
    idle: Intervals,
    waiting: Intervals,
) -> Idle:
    """Give every instant of a device's idle time to one category; the device was busy in `busy`.

    `waiting` is when it was in a collective that another had not reached.
    """
    feeding, driving = work.feeding, _driving(host, work)
    threads = watched(host, driving)
    calls = launch_calls(host, feeding or threads)
    launching = _launching(host, driving, windows, work, others, busy, idle)
    compiled = compiled_once(host, windows)
    waits = [
        ("idle_peer", waiting),
        *_waits(host, compiled, _syncs(host, work, others, driving or None)),
        ("idle_between_steps", launching.outside),
        ("idle_peer", launching.for_others),
    ]
    stretches = held(calls, work, windows, join(layer for _, layer in waits))
    found = tuple(holders(host, threads, stretches, calls))
    acting, once = seen(host, threads), held_once(found, host, calls, windows)
    in_call, between = (time_of(holder for holder in found if holder.in_call is inside) for inside in (True, False))
    stalled = _longer(intersection(intersection(idle, launching.queued), between), stretches.limit_ps)
    layers = [
        *waits,
        ("idle_once", once.time),
        # The device is idle, so that no full queue holds the call up: it does its own work, as copying into a buffer.
        ("idle_host_work", _longer(intersection(idle, in_call), stretches.limit_ps)),
        ("idle_queue", launching.queued),
        ("idle_host_work", intersection(between, acting)),
        (UNATTRIBUTED, between),
        ("idle_launch", intersection(join([launching.late, launching.unknown]), launching.on_the_way)),
    ]
    parts = _by_category(idle, layers)
    # Inside a launch call the host may as well wait for room in the queue, while the device is busy.
    busy_once = join([compiled.time, parts["idle_once"], intersection(once.time, between)])
    busy_held = difference(join([intersection(between, acting), parts["idle_host_work"]]), busy_once)
    proven = join([compiled.proven, once.proven])
    slowly = intersection(parts["idle_launch"], Intervals(stretches.start_ps, stretches.end_ps))
    return Idle(parts, threads, found, proven, intersection(parts["idle_queue"], stalled), slowly, busy_once, busy_held)


def _driving(host: TracedHost, work: Launches) -> set[int]:
    """The places of the threads that launch the work or call the training function; empty where no launch is known."""
    # The thread that calls the training function waits for its result, whether or not it launches anything itself.
    callers = (place for place in range(len(host.threads)) if np.any(host.kinds[place] & (Kind.FUNCTION | Kind.CALL)))
    return {*work.feeding, *callers} if work.feeding else set()


def _by_category(idle: Intervals, layers: Sequence[tuple[str, Intervals]]) -> dict[str, Intervals]:
    """Give each instant of the idle time to the first layer that holds then, and join the layers by category."""
    got, left = sweep(idle, [layer for _, layer in layers])
    given = [*zip((name for name, _ in layers), got, strict=True), (UNATTRIBUTED, left)]
    return {name: join([part for to, part in given if to == name]) for name in (*IDLE, UNATTRIBUTED)}


def _waits(host: TracedHost, compiled: Once, syncing: Intervals) -> list[tuple[str, Intervals]]:
