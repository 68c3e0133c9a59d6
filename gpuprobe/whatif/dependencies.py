"""Finds which operation waited for which: as the trace says, or where nothing else explains a late start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.quantiles import median
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.units import PS_PER_US
from gpuprobe.whatif.graph import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.whatif.graph import Bools, Floats, Ints
    from gpuprobe.whatif.host_chain import Chain
    from gpuprobe.whatif.operations import Operations

CLOSE_PS, OVERLAP_PS = int(fixed.CLOSE_US * PS_PER_US), int(fixed.OVERLAP_US * PS_PER_US)
HELD_PS, BLOCKED_PS = int(fixed.LAUNCH_HELD_US * PS_PER_US), int(fixed.BLOCKED_US * PS_PER_US)
# The time from a launch call to the kernel's start, where the trace does not show it: the lower end of 5 to 10 us.
TYPICAL_LAUNCH_US = 5.0
# CUDA queues about this many launches before the next call blocks.
CUDA_QUEUE = 1024


@dataclass(frozen=True)
class Starts:
    """When streams were free for each operation, (k,) ps.

    `stream` is when its own stream had finished its earlier work, `others` when all streams of its device had.
    """

    stream: Ints
    others: Ints


def starts(ops: Operations) -> Starts:
    """Return when each operation's stream, and all streams of its device, had finished their earlier work."""
    stream, others = (np.full(len(ops), np.iinfo(np.int64).min // 2) for _ in range(2))
    for device in distinct(ops.device)[0].tolist():
        mine = np.flatnonzero(ops.device == device)
        for number in distinct(ops.stream[mine])[0].tolist():
            own = mine[ops.stream[mine] == number]
            stream[own[1:]] = np.maximum.accumulate(ops.end[own])[:-1]
        reached = np.maximum.accumulate(ops.end[mine])
        others[mine[1:]] = reached[:-1]
    return Starts(stream, others)


def lags(ops: Operations, free: Starts) -> Floats:
    """Return the usual time from launch call to start on an idle device for each operation's kind, (k,) us.

    It is the median over operations of that kind, else of any kind, that were launched onto an idle device and not held
    back.
    """
    idle = _onto_idle(ops, free) & (held_until(ops, free) < 0)
    lasted = (ops.start - ops.call_start) / PS_PER_US
    usual = median(lasted[idle]) if idle.any() else TYPICAL_LAUNCH_US
    copies = ops.work >= Work.H2D
    lag = np.full(len(ops), usual)
    for kind in (copies, ~copies):
        if (idle & kind).sum() >= fixed.LAUNCHES_TELLING:
            lag[kind] = median(lasted[idle & kind])
    return lag


def held_until(ops: Operations, free: Starts) -> Ints:
    """Return, for each operation whose launch was held back, the later one whose launch started it (k,), else -1.

    The driver model of Windows submits launches in batches: although the device is idle, the first operation starts
    only when the call that launched the last one returns.
    """
    order = np.flatnonzero(ops.joined)
    order = order[np.argsort(ops.call_end[order], kind="stable")]
    until = np.full(len(ops), -1)
    ready = np.maximum(ops.call_end, np.maximum(free.stream, free.others))
    late = ops.joined & (ops.start - ready > HELD_PS)
    indices = np.flatnonzero(late)
    last = np.searchsorted(ops.call_end[order], ops.start[indices], side="right") - 1
    own = np.searchsorted(ops.call_end[order], ops.call_end[indices])
    since = ops.start[indices] - ops.call_end[order[np.maximum(last, 0)]]
    kept = (last - own >= fixed.FEWEST_HELD) & (since <= CLOSE_PS)
    until[indices[kept]] = order[last[kept]]
    return until


def _onto_idle(ops: Operations, free: Starts) -> Bools:
    idle = ops.joined & (np.maximum(free.stream, free.others) <= ops.call_start)
    launched: Bools = idle & (ops.start >= ops.call_start)
    return launched


def across_streams(ops: Operations, free: Starts, lag_ps: Ints) -> tuple[Ints, Ints]:
    """Return pairs (later, earlier) of operations on two streams of a device, where the later waited for the earlier.

    A wait shows where an operation starts late for its launch and its stream, just after one launched before it has
    ended. Data dependencies are known: kernels wait for the batch copied before them, and copies to the host for the
    kernels.
    """
    later: list[Ints] = []
    earlier: list[Ints] = []
    ready = np.maximum(np.where(ops.joined, ops.call_start + lag_ps, free.stream), free.stream)
    for device in distinct(ops.device)[0].tolist():
        mine = np.flatnonzero(ops.device == device)
        streams = [mine[ops.stream[mine] == number] for number in distinct(ops.stream[mine])[0].tolist()]
        for first in streams:
            for second in streams:
                if first is second:
                    continue
                source = _last_ended(ops, first, second)
                known = source >= 0
                target, before = first[known], source[known]
                since = ops.end[before]
                seen = (since > ready[target]) & (ops.start[target] - since <= CLOSE_PS)
                kept = seen | _by_data(ops, target, before)
                later.append(target[kept])
                earlier.append(before[kept])
    return (np.concatenate(later), np.concatenate(earlier)) if later else (np.empty(0, np.int64),) * 2


def copies_after_kernels(ops: Operations) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield, for each device, copies of batches, the kernels that they wait for, and how many passes earlier those ran.

    In TensorFlow a copy to the device waits for all kernels launched before it (`GPUUtil::CopyCPUTensorToGPU`). This is
    assumed where no copy in the trace started while such a kernel ran.
    """
    for device in distinct(ops.device)[0].tolist():
        mine = np.flatnonzero((ops.device == device) & ops.joined)
        mine = mine[np.argsort(ops.call_start[mine], kind="stable")]
        kernels = mine[ops.work[mine] == Work.KERNEL]
        copies = mine[(ops.work[mine] == Work.H2D) & ops.sized[mine]]
        if not len(kernels) or not len(copies):
            continue
        index = np.searchsorted(ops.call_start[kernels], ops.call_start[copies]) - 1
        before = kernels[index]
        beside = (index >= 0) & (ops.start[copies] + OVERLAP_PS < ops.end[before])
        if not beside.any():
            yield copies, before, (index < 0).astype(np.int64)


def _last_ended(ops: Operations, targets: Ints, others: Ints) -> Ints:
    """Return the last of `others` that had ended when each target started, if it was launched before it; else -1."""
    index = np.searchsorted(ops.end[others], ops.start[targets] + OVERLAP_PS, side="right") - 1
    source = np.where(index >= 0, others[np.maximum(index, 0)], -1)
    launches_known = ops.joined[targets] & ops.joined[source]
    in_order = ~launches_known | (ops.call_start[source] <= ops.call_start[targets])
    return np.where((source >= 0) & in_order, source, -1)


def _by_data(ops: Operations, target: Ints, source: Ints) -> Bools:
    """Return which of the pairs (`target` waits for `source`) wait for data, (k,).

    They are the first kernel after a copy to the device, and a copy to the host after a kernel.
    """
    nearest = np.concatenate([[True], source[1:] != source[:-1]]) if len(source) else np.zeros(0, np.bool_)
    after_copy = (ops.work[source] == Work.H2D) & (ops.work[target] == Work.KERNEL) & nearest
    paired: Bools = after_copy | ((ops.work[target] == Work.D2H) & (ops.work[source] == Work.KERNEL))
    return paired


def for_devices(chain: Chain, ops: Operations) -> tuple[Ints, Ints, Ints]:
    """Return which nodes of the chain waited for which operations, and how long after its end (ps) they continued."""
    inside = np.flatnonzero(np.isin(chain.work, (Work.SYNC, Work.COPYING)) & (chain.lasted > 0))
    done = np.where(ops.blocking, np.minimum(ops.end, ops.call_end), ops.end)
    order = np.argsort(done, kind="stable")
    ends = done[order]
    begin, end = (chain.end - chain.lasted)[inside], chain.end[inside]
    index = np.searchsorted(ends, end, side="right") - 1
    source = np.where(index >= 0, order[np.maximum(index, 0)], -1)
    waited = (source >= 0) & (done[source] > begin)
    return inside[waited], source[waited], (end - done[source])[waited]


@dataclass(frozen=True)
class Queue:
    """The launch queue: how many launches fit, and the length of each launch call without waits for room, (k,) ps."""

    depth: int
    lasts: Ints


def queue_of(ops: Operations) -> Queue:
    """Return the launch queue; its depth follows from calls that blocked, and is CUDA's usual one where none did."""
    joined = ops.joined & (ops.work < Work.H2D)
    lasts = ops.call_end - ops.call_start
    if not joined.any():
        return Queue(CUDA_QUEUE, lasts)
    usual = int(median(lasts[joined]))
    pending = _pending(ops)
    blocked = joined & (lasts > fixed.BLOCKED_FACTOR * usual) & (lasts > usual + BLOCKED_PS) & (pending > 1)
    most = int(pending[joined].max())
    # Only slow calls while the queue is full count: others are slow for another reason.
    blocked &= pending >= most - 1
    # A call that submits launches held back is long for that reason.
    held = held_until(ops, starts(ops))
    blocked[held[held >= 0]] = False
    if blocked.sum() < fixed.LAUNCHES_TELLING:
        return Queue(max(CUDA_QUEUE, most + 1), lasts)
    return Queue(most, np.where(blocked, usual, lasts))


def _pending(ops: Operations) -> Ints:
    """Return how many operations, launched before on the same device, had not started when each launch call returned.

    (k,), without the call's own operation; 0 where the launch is unknown.
    """
    pending = np.zeros(len(ops), np.int64)
    for device in distinct(ops.device)[0].tolist():
        mine = np.flatnonzero((ops.device == device) & ops.joined)
        calls = np.sort(ops.call_start[mine])
        launched = np.searchsorted(calls, ops.call_start[mine], side="left")
        begun = np.searchsorted(np.sort(ops.start[mine]), ops.call_end[mine], side="right")
        pending[mine] = np.maximum(launched - begun, 0)
    return pending
