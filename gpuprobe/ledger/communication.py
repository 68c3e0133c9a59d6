"""What a device's exchanges cost: their volume, the exposed part, and the part that blocks other work.

Only blocking communication can be saved (NVIDIA-NeMo's Megatron-Bridge, its skill for nsys). Exposed communication
while the host has launched nothing more would be idle time anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.exchange_records import CommunicationFacts
from gpuprobe.ledger.intervals import Intervals, covered, difference, intersection, join, union
from gpuprobe.ledger.launches import NO_CALL, called_by
from gpuprobe.ledger.names import Kind
from gpuprobe.quantiles import median
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN
from gpuprobe.units import MIB, PS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.ledger.gpu import GpuTime
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Int64s, Kernels, Timeline


@dataclass(frozen=True)
class _Exchanges:
    """The exchanges of a device, (n,) each, sorted by start. `asked_ps` is when the host launched them, in their step.

    `sums` tells which of them add values up, as for gradients.
    """

    start_ps: Int64s
    end_ps: Int64s
    asked_ps: Int64s
    bytes: Int64s
    sums: NDArray[np.bool_]

    def packs(self, within: NDArray[np.bool_], step: Int64s, waiting: Intervals) -> NDArray[np.bool_]:
        """Tell which exchanges are packs of gradients, (n,), of those `within` the steps that count."""
        sums = np.flatnonzero(within & self.sums)
        start_ps, end_ps = self.start_ps[sums], self.end_ps[sums]
        took_ps = end_ps - start_ps - covered(waiting, start_ps, end_ps)
        packs = np.zeros(len(step), np.bool_)
        packs[sums] = are_packs(self.bytes[sums], took_ps, step[sums])
        return packs


def of_gpu(
    timeline: Timeline, time: GpuTime, host: TracedHost, waiting: Intervals, counted: slice
) -> CommunicationFacts | None:
    """Describe the exchanges of a GPU over the steps that count; None where it has none."""
    kernels = time.device.kernels
    exchanges = names.collective(timeline.names, kernels.name)
    if not exchanges.any():
        return None
    exposed = time.parts["gpu_collective"]
    blocking = held_up(kernels, exchanges, host, exposed)
    size = kernels.bytes[exchanges] if len(kernels.bytes) else np.full(int(exchanges.sum()), UNKNOWN)
    sums = names.adds_up(timeline.names, kernels.name[exchanges])
    calls = called_by(host, kernels.correlation[exchanges])
    # A host that runs ahead is already in a later step when an exchange starts.
    asked = np.where(
        calls != NO_CALL, host.calls.start_ps[calls] if len(host.calls.start_ps) else 0, kernels.start_ps[exchanges]
    )
    own = _Exchanges(kernels.start_ps[exchanges], kernels.end_ps[exchanges], asked, size, sums)
    return _facts(own, waiting, (exposed, blocking), kernels.end_ps[~exchanges], time.windows, counted)


def are_packs(size: Int64s, took_ps: Int64s, step: Int64s) -> NDArray[np.bool_]:
    """Tell which of the exchanges that add values up are packs of gradients, (n,): a loss is far smaller.

    It is far smaller than the largest of its `step` by its bytes (`size`), or, where some are UNKNOWN, by the time that
    the transfer takes.
    """
    sized = bool((size != UNKNOWN).all())
    cost, least = (size.astype(np.float64), fixed.PACK_BYTES) if sized else (_usual(took_ps, step), fixed.PACK_TIME)
    numbers, rows = distinct(step)
    largest = np.zeros(len(numbers))
    np.maximum.at(largest, rows, cost)
    packs: NDArray[np.bool_] = cost >= least * largest[rows]
    return packs


def _usual(took_ps: Int64s, step: Int64s) -> NDArray[np.float64]:
    """Return the time that each exchange usually takes, (n,) ps: the median of those at its place in the steps.

    A thread that waits for a core makes single ones long. In a step with another number of exchanges than most, places
    mean nothing: there each has its own time.
    """
    usual, rows = took_ps.astype(np.float64), distinct(step)[1]
    count = np.bincount(rows)
    most = int(np.bincount(count).argmax()) if len(count) else 0
    begun = np.cumsum(count) - count
    place = np.empty(len(step), np.int64)
    order = np.argsort(rows, kind="stable")
    place[order] = np.arange(len(step)) - begun[rows[order]]
    for number in range(most):
        alike = (count[rows] == most) & (place == number)
        usual[alike] = median(took_ps[alike])
    return usual


def held_up(kernels: Kernels, exchanges: NDArray[np.bool_], host: TracedHost, exposed: Intervals) -> Intervals | None:
    """Return when exposed exchanges keep other work from running; None where too few launches are known.

    `exchanges` tells which kernels, (n,) bool, are exchanges.
    """
    begins = called_by(host, kernels.correlation[~exchanges])
    known = begins != NO_CALL
    if len(known) and known.mean() < fixed.JOINED_LOW:
        return None
    queued = union(host.calls.start_ps[begins[known]], kernels.start_ps[~exchanges][known])
    # While the host waits for the exchange itself, it launches nothing more.
    return intersection(exposed, join([queued, host.select(Kind.SYNC)]))


def of_processor(
    host: TracedHost, windows: Windows, exposed: Intervals, waiting: Intervals, counted: slice
) -> CommunicationFacts | None:
    """Describe the exchanges of a processor over the steps that count; None where it has none.

    Its runtime starts whatever can run, so exposed time blocks other work.
    """
    chosen = [(kinds & Kind.EXCHANGE) != 0 for kinds in host.kinds]
    events = [(thread.events, mask) for thread, mask in zip(host.threads, chosen, strict=True) if mask.any()]
    if not events:
        return None
    start = np.concatenate([thread_events.start_ps[mask] for thread_events, mask in events])
    end = np.concatenate([thread_events.end_ps[mask] for thread_events, mask in events])
    sums = names.adds_up(host.names, np.concatenate([thread_events.name[mask] for thread_events, mask in events]))
    order = np.argsort(start, kind="stable")
    unknown = np.full(len(start), UNKNOWN, np.int64)
    own = _Exchanges(start[order], end[order], start[order], unknown, sums[order])
    return _facts(own, waiting, (exposed, exposed), host.computing.end, windows, counted)


def _facts(
    own: _Exchanges,
    waiting: Intervals,
    costs: tuple[Intervals, Intervals | None],
    computed_ps: Int64s,
    windows: Windows,
    counted: slice,
) -> CommunicationFacts | None:
    begin, end = windows.start_ps[counted], windows.end_ps[counted]
    step = np.searchsorted(begin, own.asked_ps, side="right") - 1
    within = (step >= 0) & (own.asked_ps < end[np.maximum(step, 0)])
    if not within.any():
        return None
    exposed, blocking = costs
    volume = difference(union(own.start_ps, own.end_ps), waiting)
    sized, packs = own.bytes[within], own.packs(within, step, waiting)
    return CommunicationFacts(
        volume_ms=_mean_ms(volume, begin, end),
        exposed_ms=_mean_ms(exposed, begin, end),
        blocking_ms=None if blocking is None else _mean_ms(blocking, begin, end),
        packs=float(packs.sum()) / len(begin),
        mebibytes=float(sized.sum()) / MIB / len(begin) if (sized != UNKNOWN).all() else None,
        ahead_ms=_ahead_ms(own.start_ps[packs], step[packs], np.sort(computed_ps)),
    )


def _ahead_ms(start_ps: Int64s, step: Int64s, computed_ps: Int64s) -> float | None:
    """Return how long before the last gradient is ready the first exchange of a step starts; the median over the steps.

    The last gradient is taken to be the computing that ended last before the last exchange starts. None where no
    exchange or no such computing is known.
    """
    if not len(computed_ps) or not len(start_ps):
        return None
    _, first = np.unique(step, return_index=True)
    last = np.append(first[1:], len(step)) - 1
    index = np.searchsorted(computed_ps, start_ps[last], side="right") - 1
    ready = computed_ps[np.maximum(index, 0)]
    ahead = (ready - start_ps[first])[index >= 0] / PS_PER_MS
    return median(ahead) if len(ahead) else None


def _mean_ms(part: Intervals, begin: Int64s, end: Int64s) -> float:
    return float(covered(part, begin, end).mean()) / PS_PER_MS
