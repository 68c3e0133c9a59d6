"""Finds out how the batches of a trace were made: on which thread, how long each took, and how many were ready."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger import names
from gpuprobe.ledger.intervals import intersection, union
from gpuprobe.ledger.names import Kind
from gpuprobe.ledger.pipeline import iterators
from gpuprobe.ledger.stages import (
    HANDS_ON,
    MAP,
    MAPS_AHEAD,
    OUTERMOST,
    PREFETCH,
    ROOTS,
    SETTINGS,
    is_buffer,
    last,
    path,
)
from gpuprobe.thresholds import fixed
from gpuprobe.traces.names import distinct
from gpuprobe.units import PS_PER_US

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.intervals import Intervals
    from gpuprobe.whatif.graph import Floats, Ints

HANDED_PS = int(fixed.HANDED_OVER_US * PS_PER_US)
# Prefetch with AUTOTUNE begins with this many batches.
TYPICAL_BUFFER = 2
PIPELINE_THREADS = "tf_data"
# Python code may compute or wait: a trace does not show which.
PYTHON_OPS = (":PyFunc", ":EagerPyFunc")


@dataclass(frozen=True)
class Feeding:
    """How batches were made; `kind`, `ready`, `buffer`, `map_share` and the rest are as in `BatchSupply`.

    `service_us` (p,) is how long each batch took to make ahead, `ended` (p,) when it was done (ps), and `begun_us` for
    how long the first of them had been in the making when the trace began.
    """

    kind: str
    service_us: Floats = field(default_factory=lambda: np.empty(0))
    ended: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    begun_us: float = 0.0
    ready: int = 0
    buffer: int = 1
    map_share: float | None = None
    map_threads: int = 1
    computing: float = 0.0
    unknown: float = 0.0


def feeding_of(host: TracedHost, waits: Intervals, window: Intervals, batch_copies: bool) -> Feeding:
    """Return how the batches of the window were made; `batch_copies` is whether a device got batches from the host."""
    computing, unknown = _at_work(host, window)
    return replace(_feeding(host, waits, window, batch_copies), computing=computing, unknown=unknown)


def _feeding(host: TracedHost, waits: Intervals, window: Intervals, batch_copies: bool) -> Feeding:
    if not len(waits):
        seen = len(host.select(Kind.ITERATOR)) > 0
        return Feeding("python" if batch_copies and not seen else "none")
    share, threads = _map_share(host, window), _map_threads(host)
    made = _made_ahead(host)
    if made is None and _runs_ahead(host):
        return _by_waits(waits, window, share, threads)
    if made is None:
        return Feeding("inline", map_share=share, map_threads=threads)
    start, end = made
    kept = end > window.start[0]
    start, end = start[kept], end[kept]
    if not len(start):
        return _by_waits(waits, window, share, threads)
    start, end, ready = _with_begun(start, end, waits, window, _ready(waits, end))
    service = (end - _free_since(start, end, waits, ready)) / PS_PER_US
    partly = start[0] <= window.start[0]
    if partly and len(service) > 1:
        # The profiler records only the rest of an event that began before it.
        service[0] = service[1:].mean()
    return Feeding(
        "prefetch",
        service_us=service,
        ended=end,
        begun_us=float(service[0] - (end[0] - window.start[0]) / PS_PER_US) if partly else 0.0,
        ready=ready,
        buffer=max(ready, _most(start, end, waits, ready), 1),
        map_share=share,
        map_threads=threads,
    )


def _ready(waits: Intervals, ended: Ints) -> int:
    """Return how many batches were ready at the start: the fewest with which none is taken before it is made."""
    for ready in range(len(waits)):
        taken = waits.end[ready:][: len(ended)]
        if (ended[: len(taken)] <= taken + HANDED_PS).all():
            return ready
    return len(waits)


def _with_begun(start: Ints, end: Ints, waits: Intervals, window: Intervals, ready: int) -> tuple[Ints, Ints, int]:
    """Return the starts and ends with the batch that was in the making when the trace began, and how many were ready.

    The profiler does not record an event that began before it. A batch that the training waits for, though none was
    seen in the making, was made until that wait ended.
    """
    if not ready or ready > len(waits):
        return start, end, ready
    begun, done = int(waits.start[ready - 1]), int(waits.end[ready - 1])
    least = fixed.WAITS_TELL * max(float((end - start).mean()), window.total / len(waits))
    # The maker began the next one as soon as it was made, be it that the training woke a little later.
    done = min(done, int(start[0]))
    if done - begun < least:
        return start, end, ready
    first = min(int(window.start[0]), begun)
    return np.insert(start, 0, first), np.insert(end, 0, done), ready - 1


def _free_since(start: Ints, end: Ints, waits: Intervals, ready: int) -> Ints:
    """Return since when the maker could have made each batch, (p,) ps.

    Where the training waits for a batch, the buffer is empty from when the one before was taken. What passes from then
    until the maker begins (its thread wakes, and waits for a core) is part of making a batch.
    """
    batch = np.arange(1, len(end))
    index = batch + ready
    known = index < len(waits)
    batch, index = batch[known], index[known]
    waited = waits.start[index] < end[batch] - HANDED_PS
    free = np.maximum(end[batch - 1], waits.end[index - 1])
    since: Ints = start.copy()
    since[batch[waited]] = np.minimum(start[batch], free)[waited]
    return since


def _most(start: Ints, end: Ints, waits: Intervals, ready: int) -> int:
    """Return how many batches were seen to lie ready at once, with the one that the maker began beside them."""
    taken = np.arange(len(waits))
    lay = int((np.searchsorted(end, waits.start, side="right") + ready - taken).max())
    beside = np.arange(len(start)) + ready - np.searchsorted(waits.end, start + HANDED_PS, side="right")
    return max(lay, int(beside.max()) + 1)


def _by_waits(waits: Intervals, window: Intervals, share: float | None, threads: int) -> Feeding:
    """Estimate batches that threads outside the trace make: while the training waits, they work at full speed."""
    if waits.total < fixed.WAITS_TELL * window.total:
        return Feeding("hidden", map_share=share, map_threads=threads)
    ended = waits.end
    first = int(window.start[0])
    service = np.diff(ended, prepend=first) / PS_PER_US
    if len(ended) > 1:
        service[:] = (ended[-1] - ended[0]) / (len(ended) - 1) / PS_PER_US
    return Feeding(
        "parallel", service_us=service, ended=ended, buffer=TYPICAL_BUFFER, map_share=share, map_threads=threads
    )


def _consumers(host: TracedHost) -> set[int]:
    wanted = Kind.INPUT | Kind.ITERATOR_ROOT
    return {index for index in range(len(host.threads)) if np.any(host.kinds[index] & wanted)}


def _made_ahead(host: TracedHost) -> tuple[Ints, Ints] | None:
    """Return the sorted starts and ends of the stage below the outermost prefetch on its thread; None where unseen."""
    best: tuple[int, Ints, Ints] | None = None
    consumers = _consumers(host)
    for index, thread in enumerate(host.threads):
        if index in consumers:
            continue
        events, mask = thread.events, (host.kinds[index] & Kind.ITERATOR) != 0
        for used in distinct(events.name[mask].astype(np.int64))[0].tolist():
            stages = path(host.names[used])
            below = next((depth for depth, stage in enumerate(stages) if stage.startswith(PREFETCH)), len(stages))
            if below == len(stages) - 2 and (best is None or below < best[0]):
                own = mask & (events.name == used)
                best = below, events.start_ps[own], events.end_ps[own]
    if best is None:
        return None
    order = np.argsort(best[2], kind="stable")
    return best[1][order], best[2][order]


def _runs_ahead(host: TracedHost) -> bool:
    """Return whether the outermost stages prepare batches on threads of their own."""
    for name in set(host.names):
        outermost, *inner = path(name)
        if outermost == OUTERMOST and len(inner) > 1 and inner[0] in ROOTS:
            stages = [stage for stage in inner[1:] if stage not in {*ROOTS, *SETTINGS}]
            if stages and is_buffer(stages[0]):
                return True
    return False


def _map_share(host: TracedHost, window: Intervals) -> float | None:
    """Return the share of the pipeline's time spent in its map functions (0 to 1); None where no stage is known."""
    stages = iterators(host, window)
    own = {stage.name: stage.self_ms for stage in stages if _works(stage.name)}
    total = sum(own.values())
    mapping = sum(spent for name, spent in own.items() if MAP in last(name))
    return mapping / total if total else None


def _works(name: str) -> bool:
    return not last(name).startswith((*HANDS_ON, *SETTINGS))


def _map_threads(host: TracedHost) -> int:
    """Return how many threads ran the map function at a time, 1 without a parallel map."""
    if not any(stage in name for name in host.names for stage in MAPS_AHEAD):
        return 1
    running = np.array(["CapturedFunction::Run" in name for name in host.names], np.bool_)
    busy = [
        union(thread.events.start_ps[mask], thread.events.end_ps[mask])
        for thread in host.threads
        if (mask := running[thread.events.name]).any()
    ]
    if not busy:
        return 1
    # The average number of calls at once, while there were any.
    together = union(np.concatenate([part.start for part in busy]), np.concatenate([part.end for part in busy]))
    return max(1, round(sum(part.total for part in busy) / max(together.total, 1)))


def _at_work(host: TracedHost, window: Intervals) -> tuple[float, float]:
    """Return the shares (0 to 1) of the pipeline's busy time in operations that compute, and in Python code."""
    busy: list[Intervals] = []
    computing: list[Intervals] = []
    python: list[Intervals] = []
    of_python = np.array([name.endswith(PYTHON_OPS) for name in host.names], np.bool_)
    waiting = np.array([names.waits(name) for name in host.names], np.bool_)
    for index, thread in enumerate(host.threads):
        if not thread.name.startswith(PIPELINE_THREADS):
            continue
        events = thread.events
        runs = (host.kinds[index] & Kind.OP) != 0
        for spans, mask in ((computing, runs & ~waiting[events.name]), (python, runs & of_python[events.name])):
            spans.append(intersection(union(events.start_ps[mask], events.end_ps[mask]), window))
        busy.append(intersection(host.of_thread(index, Kind.OP), window))
    whole = sum(part.total for part in busy)
    if not whole:
        # The trace shows no operation of the pipeline, so nothing is known of it.
        return 0.0, 1.0
    return sum(part.total for part in computing) / whole, sum(part.total for part in python) / whole
