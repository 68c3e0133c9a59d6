"""What waited for what: as the trace says, or where nothing else explains a late begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.quantiles import median
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
# A kernel's way from the launch call to its begin, where the trace shows none: the lower end of 5 to 10 us.
TYPICAL_LAUNCH_US = 5.0
# CUDA holds about so many launches before the next call blocks.
CUDA_QUEUE = 1024


@dataclass(frozen=True)
class Starts:
    """How each operation could begin, (k,) ps: `stream` when its stream was free, `others` when all streams were."""

    stream: Ints
    others: Ints


def starts(found: Operations) -> Starts:
    """Return when the stream, and when all other streams of the device, had ended what ran before each operation."""
    stream, others = (np.full(len(found), np.iinfo(np.int64).min // 2) for _ in range(2))
    for device in distinct(found.device)[0].tolist():
        mine = np.flatnonzero(found.device == device)
        for number in distinct(found.stream[mine])[0].tolist():
            own = mine[found.stream[mine] == number]
            stream[own[1:]] = np.maximum.accumulate(found.end[own])[:-1]
        reached = np.maximum.accumulate(found.end[mine])
        others[mine[1:]] = reached[:-1]
    return Starts(stream, others)


def lags(found: Operations, free: Starts) -> Floats:
    """Return how long each operation's kind takes from its launch call to its begin on an idle device, (k,) us.

    That is the median of those launched onto an idle device and not held back: of that kind, else of any.
    """
    idle = _onto_idle(found, free) & (held_until(found, free) < 0)
    lasted = (found.start - found.call_start) / PS_PER_US
    usual = median(lasted[idle]) if idle.any() else TYPICAL_LAUNCH_US
    copies = found.work >= Work.H2D
    lag = np.full(len(found), usual)
    for kind in (copies, ~copies):
        if (idle & kind).sum() >= fixed.LAUNCHES_TELLING:
            lag[kind] = median(lasted[idle & kind])
    return lag


def held_until(found: Operations, free: Starts) -> Ints:
    """Return the operation with whose launch each one began that was held back (k,), -1 for those that were not.

    Windows' driver model hands launches over in batches: the device has run dry, and yet the first begins only when
    the call returns that launched the last of them.
    """
    order = np.flatnonzero(found.joined)
    order = order[np.argsort(found.call_end[order], kind="stable")]
    until = np.full(len(found), -1)
    ready = np.maximum(found.call_end, np.maximum(free.stream, free.others))
    late = found.joined & (found.start - ready > HELD_PS)
    places = np.flatnonzero(late)
    last = np.searchsorted(found.call_end[order], found.start[places], side="right") - 1
    own = np.searchsorted(found.call_end[order], found.call_end[places])
    since = found.start[places] - found.call_end[order[np.maximum(last, 0)]]
    kept = (last - own >= fixed.FEWEST_HELD) & (since <= CLOSE_PS)
    until[places[kept]] = order[last[kept]]
    return until


def _onto_idle(found: Operations, free: Starts) -> Bools:
    idle = found.joined & (np.maximum(free.stream, free.others) <= found.call_start)
    launched: Bools = idle & (found.start >= found.call_start)
    return launched


def across_streams(found: Operations, free: Starts, lag_ps: Ints) -> tuple[Ints, Ints]:
    """Return pairs (later, earlier) of operations of different streams of a device, of which one waited for the other.

    That is seen where an operation begins late for its launch and its stream, just after one launched before it has
    ended; and it is known of data: kernels wait for the batch launched before them, and copies back for the kernels.
    """
    later: list[Ints] = []
    earlier: list[Ints] = []
    ready = np.maximum(np.where(found.joined, found.call_start + lag_ps, free.stream), free.stream)
    for device in distinct(found.device)[0].tolist():
        mine = np.flatnonzero(found.device == device)
        streams = [mine[found.stream[mine] == number] for number in distinct(found.stream[mine])[0].tolist()]
        for first in streams:
            for second in streams:
                if first is second:
                    continue
                source = _last_ended(found, first, second)
                known = source >= 0
                target, before = first[known], source[known]
                since = found.end[before]
                seen = (since > ready[target]) & (found.start[target] - since <= CLOSE_PS)
                kept = seen | _by_data(found, target, before)
                later.append(target[kept])
                earlier.append(before[kept])
    return (np.concatenate(later), np.concatenate(earlier)) if later else (np.empty(0, np.int64),) * 2


def copies_after_kernels(found: Operations) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yield, for each device, copies of batches, the kernels that they wait for, and how many passes before.

    TensorFlow lets a copy to the device wait for all kernels launched before it (`GPUUtil::CopyCPUTensorToGPU`), and so
    it is taken to be where no copy of the trace began beside such a kernel.
    """
    for device in distinct(found.device)[0].tolist():
        mine = np.flatnonzero((found.device == device) & found.joined)
        mine = mine[np.argsort(found.call_start[mine], kind="stable")]
        kernels = mine[found.work[mine] == Work.KERNEL]
        copies = mine[(found.work[mine] == Work.H2D) & found.sized[mine]]
        if not len(kernels) or not len(copies):
            continue
        place = np.searchsorted(found.call_start[kernels], found.call_start[copies]) - 1
        before = kernels[place]
        beside = (place >= 0) & (found.start[copies] + OVERLAP_PS < found.end[before])
        if not beside.any():
            yield copies, before, (place < 0).astype(np.int64)


def _last_ended(found: Operations, targets: Ints, others: Ints) -> Ints:
    """The last of `others` that had ended when each target began and was launched before it, -1 where none."""
    place = np.searchsorted(found.end[others], found.start[targets] + OVERLAP_PS, side="right") - 1
    source = np.where(place >= 0, others[np.maximum(place, 0)], -1)
    told = found.joined[targets] & found.joined[source]
    in_order = ~told | (found.call_start[source] <= found.call_start[targets])
    return np.where((source >= 0) & in_order, source, -1)


def _by_data(found: Operations, target: Ints, source: Ints) -> Bools:
    """Pairs that wait by what they are: the first kernel after a copy to the device, and a copy back of a result."""
    nearest = np.concatenate([[True], source[1:] != source[:-1]]) if len(source) else np.zeros(0, np.bool_)
    after_copy = (found.work[source] == Work.H2D) & (found.work[target] == Work.KERNEL) & nearest
    paired: Bools = after_copy | ((found.work[target] == Work.D2H) & (found.work[source] == Work.KERNEL))
    return paired


def for_devices(chain: Chain, found: Operations) -> tuple[Ints, Ints, Ints]:
    """Return which nodes of the chain waited for which operations, and how long after its end (ps) they went on."""
    inside = np.flatnonzero(np.isin(chain.work, (Work.SYNC, Work.COPYING)) & (chain.lasted > 0))
    done = np.where(found.blocking, np.minimum(found.end, found.call_end), found.end)
    order = np.argsort(done, kind="stable")
    ends = done[order]
    begin, end = (chain.end - chain.lasted)[inside], chain.end[inside]
    place = np.searchsorted(ends, end, side="right") - 1
    source = np.where(place >= 0, order[np.maximum(place, 0)], -1)
    waited = (source >= 0) & (done[source] > begin)
    return inside[waited], source[waited], (end - done[source])[waited]


@dataclass(frozen=True)
class Queue:
    """How many launches fit, and how long each launch call takes without waiting for room, (k,) ps."""

    depth: int
    lasts: Ints


def queue_of(found: Operations) -> Queue:
    """Return the launch queue: its depth from the calls that were blocked, else CUDA's."""
    joined = found.joined & (found.work < Work.H2D)
    lasts = found.call_end - found.call_start
    if not joined.any():
        return Queue(CUDA_QUEUE, lasts)
    usual = int(median(lasts[joined]))
    pending = _pending(found)
    blocked = joined & (lasts > fixed.BLOCKED_FACTOR * usual) & (lasts > usual + BLOCKED_PS) & (pending > 1)
    most = int(pending[joined].max())
    # A slow call that the queue does not explain is slow for another reason: only those at its end count.
    blocked &= pending >= most - 1
    # Nor does it explain a call that is long because it hands over what was held back.
    held = held_until(found, starts(found))
    blocked[held[held >= 0]] = False
    if blocked.sum() < fixed.LAUNCHES_TELLING:
        return Queue(max(CUDA_QUEUE, most + 1), lasts)
    return Queue(most, np.where(blocked, usual, lasts))


def _pending(found: Operations) -> Ints:
    """How many operations of the device were launched and had not begun when each launch call returned, (k,)."""
    pending = np.zeros(len(found), np.int64)
    for device in distinct(found.device)[0].tolist():
        mine = np.flatnonzero((found.device == device) & found.joined)
        calls = np.sort(found.call_start[mine])
        launched = np.searchsorted(calls, found.call_start[mine], side="left")
        begun = np.searchsorted(np.sort(found.start[mine]), found.call_end[mine], side="right")
        pending[mine] = np.maximum(launched - begun, 0)
    return pending
