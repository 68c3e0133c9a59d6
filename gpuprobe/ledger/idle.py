"""The idle time of one GPU, by what the host did meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.categories import IDLE, UNATTRIBUTED
from gpuprobe.ledger.holders import Holder, explained_time, holders, time_of, watched
from gpuprobe.ledger.intervals import Intervals, difference, intersection, join, sweep, union
from gpuprobe.ledger.launch_pace import held_stretches, launch_calls
from gpuprobe.ledger.launches import NO_LAUNCH, Launches, done_before, launches, left_waiting, reads
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.one_time_work import compiled_once, held_once
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.one_time_work import OneTimeWork
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Device

# Where the host is meanwhile, which is no reason why work that it has launched does not start.
NO_REASON = ("idle_sync", "idle_between_steps")
SILENT_PS = int(fixed.SILENT_MS * PS_PER_MS)


@dataclass(frozen=True)
class Idle:
    """The idle time by exclusive category, and what held the host.

    `threads` are the indices of the threads whose events show what the host did. `proven` is the part of `idle_once`
    for which a single step is proof. `stalled` is the part of `idle_queue` in which work had been launched for long,
    and the host launched no more or was far ahead: nothing shows why it did not start. `stalled_in` are the long gaps
    before such work in other categories (`NO_REASON`), which do not keep launched work from starting. `off_pace` is the
    part of `idle_launch` in pauses that are long for the pace of launching: nothing shows what fills them. `busy_once`
    and `busy_held` are when one-time work and other work held the host, whether or not the device idled.
    """

    parts: dict[str, Intervals]
    threads: tuple[int, ...]
    holders: tuple[Holder, ...]
    proven: Intervals
    stalled: Intervals
    stalled_in: dict[str, Intervals]
    off_pace: Intervals
    busy_once: Intervals
    busy_held: Intervals


@dataclass(frozen=True)
class _Launching:
    """The idle time by the state of the next work: `queued` if it was launched but not started, `late` if it was not
    launched, `unknown` if the trace does not tell.

    `outside` is when the host was not in the training function, `on_the_way` when it may have been on its way to a
    launch. `for_others` is when it had done with this device, but not with the others: it still launched their work of
    a call, or waited for one of them.
    """

    queued: Intervals
    late: Intervals
    unknown: Intervals
    outside: Intervals
    on_the_way: Intervals
    for_others: Intervals


@dataclass(frozen=True)
class GpuActivity:
    """What one GPU did in the steps (`windows`): its launched work, and when it was busy and when idle.

    `waiting` is when it was in a collective that another device had not reached. `others` are the other GPUs of its
    host.
    """

    work: Launches
    windows: Windows
    busy: Intervals
    idle: Intervals
    waiting: Intervals
    others: Sequence[Device]


def idle_of(host: TracedHost, gpu: GpuActivity) -> Idle:
    """Give every instant of a GPU's idle time to one category, by what its host did meanwhile."""
    driving = _driving(host, gpu.work)
    threads = watched(host, driving)
    calls = launch_calls(host, gpu.work.feeding or threads)
    launching = _launching(host, driving, gpu)
    compiled = compiled_once(host, gpu.windows)
    waits = [
        ("idle_peer", gpu.waiting),
        *_waits(host, compiled, driving or None, _syncs(host, gpu, driving or None)),
        ("idle_between_steps", launching.outside),
        ("idle_peer", intersection(launching.late, launching.for_others)),
    ]
    stretches = held_stretches(
        calls, gpu.work, gpu.windows, join([launching.for_others, *(layer for _, layer in waits)])
    )
    holders_found = tuple(holders(host, threads, stretches, calls))
    acting, once = explained_time(host, threads), held_once(holders_found, host, calls, gpu.windows)
    in_call, between_calls = _by_call(holders_found)
    # The device is idle, so no full queue delays the call: it does work of its own, such as copying into a buffer.
    own_work = _longer(intersection(gpu.idle, in_call), stretches.limit_ps)
    held_layers = [("idle_once", once.time), ("idle_host_work", own_work)]
    parts = _by_category(gpu.idle, [*waits, *held_layers, *_launch_layers(launching, between_calls, acting)])
    queued_long = _longer(intersection(intersection(gpu.idle, launching.queued), between_calls), stretches.limit_ps)
    left = left_waiting(gpu.work, calls.start_ps, gpu.busy)
    # Inside a launch call the host may also wait for room in the queue, while the device is busy.
    busy_once = join([compiled.time, parts["idle_once"], intersection(once.time, between_calls)])
    return Idle(
        parts,
        threads,
        holders_found,
        proven=join([compiled.proven, once.proven]),
        stalled=intersection(parts["idle_queue"], join([queued_long, left])),
        stalled_in={name: _longer(intersection(parts[name], left), stretches.limit_ps) for name in NO_REASON},
        off_pace=intersection(parts["idle_launch"], stretches.slower_than_pace),
        busy_once=busy_once,
        busy_held=difference(join([intersection(between_calls, acting), parts["idle_host_work"]]), busy_once),
    )


def _by_call(stretches: Sequence[Holder]) -> tuple[Intervals, Intervals]:
    """Return the time of the stretches inside a launch call, and of those between two."""
    inside = time_of(holder for holder in stretches if holder.in_call)
    return inside, time_of(holder for holder in stretches if not holder.in_call)


def _launch_layers(launching: _Launching, held: Intervals, acting: Intervals) -> list[tuple[str, Intervals]]:
    """Return the times that depend on the next launch, each after its category, in the order in which they count.

    `held` is when nothing was launched for long.
    """
    return [
        ("idle_queue", launching.queued),
        ("idle_host_work", intersection(held, acting)),
        (UNATTRIBUTED, held),
        ("idle_launch", intersection(join([launching.late, launching.unknown]), launching.on_the_way)),
    ]


def _driving(host: TracedHost, work: Launches) -> set[int]:
    """Return the indices of the threads that launch the work or call the training function; empty without launches."""
    # The thread that calls the training function waits for its result, even if it launches nothing itself.
    callers = (index for index in range(len(host.threads)) if np.any(host.kinds[index] & (Kind.FUNCTION | Kind.CALL)))
    return {*work.feeding, *callers} if work.feeding else set()


def _by_category(idle: Intervals, layers: Sequence[tuple[str, Intervals]]) -> dict[str, Intervals]:
    """Give each instant of the idle time to the first layer that covers it, and join the layers by category."""
    by_layer, left = sweep(idle, [layer for _, layer in layers])
    all_layers = [*zip((name for name, _ in layers), by_layer, strict=True), (UNATTRIBUTED, left)]
    return {name: join([part for category, part in all_layers if category == name]) for name in (*IDLE, UNATTRIBUTED)}


def _waits(
    host: TracedHost, compiled: OneTimeWork, threads: set[int] | None, syncing: Intervals
) -> list[tuple[str, Intervals]]:
    """Return when an event of the host is itself a reason to wait, by category in the order of `IDLE`.

    Only an allocation of one of the `threads` (of any, where None) keeps the next launch waiting.
    """
    return [
        ("idle_compile", difference(host.compiling, compiled.time)),
        ("idle_once", compiled.time),
        ("idle_memory", host.select(Kind.MEMORY, threads)),
        ("idle_input", join([host.input_wait, host.feeding])),
        ("idle_sync", syncing),
    ]


def _syncs(host: TracedHost, gpu: GpuActivity, threads: set[int] | None) -> Intervals:
    """Return when one of the threads (any, where None) was in a synchronising call or read from a device."""
    work = gpu.work
    # While a thread reads from the next device, the one before it waits.
    reading = reads(gpu.others, host, threads or set())
    return join([host.select(Kind.SYNC, threads), union(work.reads_start_ps, work.reads_end_ps), reading])


def _launching(host: TracedHost, threads: set[int], gpu: GpuActivity) -> _Launching:
    windows, idle = gpu.windows, gpu.idle
    queued, late, unknown = _by_launch(gpu.work, gpu.busy, idle)
    if windows.inside is not None:
        steps = union(windows.start_ps, windows.end_ps)
        for_others = join(
            [done_before(gpu.work, gpu.others, host, windows), _at_work_for_others(host, gpu.work, gpu.others)]
        )
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


def _at_work_for_others(host: TracedHost, work: Launches, others: Sequence[Device]) -> Intervals:
    """Return when a thread that launches kernels only for other devices ran, and none that launches this one's did.

    One call of a training function may run several steps: each ends when the last of its devices has got its work.
    """
    feeding = {index for device in others for index in launches(device, host).computing}
    return difference(host.active(feeding - set(work.computing)), host.active(work.computing))


def _again_and_again(silent: Intervals) -> bool:
    """Whether gaps in the events of a thread come again and again: then the user's Python runs between steps."""
    lengths = silent.end - silent.start
    return len(silent) >= fixed.FEWEST_SILENCES and float(lengths.max()) <= fixed.SILENCE_MOST * silent.total


def _longer(time: Intervals, least_ps: int) -> Intervals:
    long = (time.end - time.start) > least_ps
    return Intervals(time.start[long], time.end[long])


def _by_launch(work: Launches, busy: Intervals, idle: Intervals) -> tuple[Intervals, Intervals, Intervals]:
    """Return when the next work was queued, when it was not launched yet, and when its launch is not known."""
    if not len(busy):
        return Intervals(), Intervals(), idle
    known = work.launch_ps != NO_LAUNCH
    queued = union(work.launch_ps[known], work.start_ps[known])
    until = busy.start
    since = np.concatenate([[min(int(idle.start[0]), int(until[0]))] if len(idle) else until[:1], busy.end[:-1]])
    untold = ~known[np.searchsorted(work.start_ps, until, side="left")]
    unknown = union(since[untold], until[untold])
    return queued, difference(idle, join([queued, unknown])), unknown
