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
    late = stretches.off_pace
    slowly = intersection(parts["idle_launch"], Intervals(stretches.start_ps[late], stretches.end_ps[late]))
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
    """When events of the host are themselves a reason to wait, in the order of `IDLE`."""
    return [
        ("idle_compile", difference(host.compiling, compiled.time)),
        ("idle_once", compiled.time),
        ("idle_memory", host.select(Kind.MEMORY)),
        ("idle_input", join([host.input_wait, host.feeding])),
        ("idle_sync", syncing),
    ]


def _syncs(host: TracedHost, work: Launches, others: Sequence[Device], threads: set[int] | None) -> Intervals:
    """When a thread that launches or calls was in a synchronising call, or read from a device; any, where None."""
    # A thread that reads from one device after the other keeps the first waiting while it reads from the next.
    reading = reads(others, host, threads or set())
    return join([host.select(Kind.SYNC, threads), union(work.reads_start_ps, work.reads_end_ps), reading])


def _launching(
    host: TracedHost,
    threads: set[int],
    windows: Windows,
    work: Launches,
    others: Sequence[Device],
    busy: Intervals,
    idle: Intervals,
) -> _Launching:
    queued, late, unknown = _by_launch(work, busy, idle)
    if windows.inside is not None:
        steps = union(windows.start_ps, windows.end_ps)
        for_others = intersection(late, done_before(work, others, host, windows))
        return _Launching(queued, late, unknown, difference(steps, windows.inside), windows.inside, for_others)
    active = host.active(threads or range(len(host.threads)))
    if not len(active):
        return _Launching(queued, late, unknown, Intervals(), active, Intervals())
    silent = _longer(difference(idle, active), SILENT_PS)
    elsewhere = silent if host.tells(threads) and _again_and_again(silent) else Intervals()
    frames = host.select(Kind.PYTHON, threads or None)
    outside = difference(intersection(late, elsewhere), frames)
    on_the_way = difference(idle, difference(silent, frames))
    return _Launching(queued, late, unknown, outside, on_the_way, Intervals())


def _again_and_again(silent: Intervals) -> bool:
    """Whether holes in what the trace shows of a thread are a habit: then Python of the user's runs between steps."""
    lasted = silent.end - silent.start
    return len(silent) >= fixed.FEWEST_SILENCES and float(lasted.max()) <= fixed.SILENCE_MOST * silent.total


def _longer(time: Intervals, least_ps: int) -> Intervals:
    long = (time.end - time.start) > least_ps
    return Intervals(time.start[long], time.end[long])


def _by_launch(work: Launches, busy: Intervals, idle: Intervals) -> tuple[Intervals, Intervals, Intervals]:
    """Part the idle time: some work was launched and not started, none was, or the next one's launch is not known."""
    if not len(busy):
        return Intervals(), Intervals(), idle
    known = work.launch_ps != NO_LAUNCH
    queued = union(work.launch_ps[known], work.start_ps[known])
    until = busy.start
    since = np.concatenate([[min(int(idle.start[0]), int(until[0]))] if len(idle) else until[:1], busy.end[:-1]])
    untold = ~known[np.searchsorted(work.start_ps, until, side="left")]
    unknown = union(since[untold], until[untold])
    return queued, difference(idle, join([queued, unknown])), unknown
