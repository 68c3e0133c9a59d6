"""How much of a device's exchanges costs: their volume, what nothing hides, and what holds the next work up.

Volume, exposed and blocking communication are three figures, and only the last can be won back (NVIDIA-NeMo's
Megatron-Bridge, its skill for nsys): what nothing hides while the host has launched nothing more would be idle anyway.
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
from gpuprobe.ledger.quantiles import median
from gpuprobe.thresholds import fixed
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
    """Exchanges of a device, (n,) each, sorted by start: when they were asked for is in their step.

    `gradients` are those that add something up.
    """

    start_ps: Int64s
    end_ps: Int64s
    asked_ps: Int64s
    bytes: Int64s
    gradients: NDArray[np.bool_]


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
    gradients = names.adds_up(timeline.names, kernels.name[exchanges])
    calls = called_by(host, kernels.correlation[exchanges])
    # A host that runs ahead is in a later step by the time that an exchange starts.
    asked = np.where(
        calls != NO_CALL, host.calls.start_ps[calls] if len(host.calls.start_ps) else 0, kernels.start_ps[exchanges]
    )
    made = _Exchanges(kernels.start_ps[exchanges], kernels.end_ps[exchanges], asked, size, gradients)
    return _facts(made, waiting, (exposed, blocking), kernels.end_ps[~exchanges], time.windows, counted)


def held_up(kernels: Kernels, exchanges: NDArray[np.bool_], host: TracedHost, exposed: Intervals) -> Intervals | None:
    """Return when exchanges, exposed as they are, keep other work from running; None where launches are not known.

    `exchanges` says which kernels (n,) they are.
    """
    begins = called_by(host, kernels.correlation[~exchanges])
    known = begins != NO_CALL
    if len(known) and known.mean() < fixed.JOINED_LOW:
        return None
    queued = union(host.calls.start_ps[begins[known]], kernels.start_ps[~exchanges][known])
    # Where the host waits for the exchange itself, it would have launched more.
    return intersection(exposed, join([queued, host.select(Kind.SYNC)]))


def of_processor(
    host: TracedHost, windows: Windows, exposed: Intervals, waiting: Intervals, counted: slice
) -> CommunicationFacts | None:
    """Describe the exchanges of a processor, whose runtime starts whatever can run: what is exposed holds it up."""
    chosen = [(kinds & Kind.EXCHANGE) != 0 for kinds in host.kinds]
    events = [(thread.events, mask) for thread, mask in zip(host.threads, chosen, strict=True) if mask.any()]
    if not events:
        return None
    start = np.concatenate([of.start_ps[mask] for of, mask in events])
    end = np.concatenate([of.end_ps[mask] for of, mask in events])
    gradients = names.adds_up(host.names, np.concatenate([of.name[mask] for of, mask in events]))
    order = np.argsort(start, kind="stable")
    unknown = np.full(len(start), UNKNOWN, np.int64)
    made = _Exchanges(start[order], end[order], start[order], unknown, gradients[order])
    return _facts(made, waiting, (exposed, exposed), host.computing.end, windows, counted)


def _facts(
    made: _Exchanges,
    waiting: Intervals,
    costs: tuple[Intervals, Intervals | None],
    computed_ps: Int64s,
    windows: Windows,
    counted: slice,
) -> CommunicationFacts | None:
    begin, end = windows.start_ps[counted], windows.end_ps[counted]
    step = np.searchsorted(begin, made.asked_ps, side="right") - 1
    within = (step >= 0) & (made.asked_ps < end[np.maximum(step, 0)])
    if not within.any():
        return None
    exposed, blocking = costs
    volume = difference(union(made.start_ps, made.end_ps), waiting)
    sized, gradients = made.bytes[within], within & made.gradients
    return CommunicationFacts(
        volume_ms=_mean_ms(volume, begin, end),
        exposed_ms=_mean_ms(exposed, begin, end),
        blocking_ms=None if blocking is None else _mean_ms(blocking, begin, end),
        packs=float(gradients.sum()) / len(begin),
        mebibytes=float(sized.sum()) / MIB / len(begin) if (sized != UNKNOWN).all() else None,
        ahead_ms=_ahead_ms(made.start_ps[gradients], step[gradients], np.sort(computed_ps)),
    )


def _ahead_ms(start_ps: Int64s, step: Int64s, computed_ps: Int64s) -> float | None:
    """How long before the end of the computing that the last exchange waits for the first one starts; the median step.

    Of what is computed, what ended when the last exchange starts, may be a gradient of it.
    """
    if not len(computed_ps) or not len(start_ps):
        return None
    _, first = np.unique(step, return_index=True)
    last = np.append(first[1:], len(step)) - 1
    place = np.searchsorted(computed_ps, start_ps[last], side="right") - 1
    ready = computed_ps[np.maximum(place, 0)]
    ahead = (ready - start_ps[first])[place >= 0] / PS_PER_MS
    return median(ahead) if len(ahead) else None


def _mean_ms(part: Intervals, begin: Int64s, end: Int64s) -> float:
    return float(covered(part, begin, end).mean()) / PS_PER_MS
