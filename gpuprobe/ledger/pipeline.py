"""What the host did over the steps: its input pipeline, compilation, and operations on the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, difference, holds, intersection, join, union
from gpuprobe.ledger.names import Kind, waits
from gpuprobe.ledger.other_calls import other_calls
from gpuprobe.ledger.records import CpuOp, HostBreakdown, IteratorFacts, OtherCalls
from gpuprobe.ledger.stages import HANDING_OVER, PYTHON_STAGE, THREADS, above, is_buffer
from gpuprobe.thresholds import fixed
from gpuprobe.units import PS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.ledger.steps import Windows
    from gpuprobe.traces.timeline import Int64s

TOP = 10


def host_breakdown(host: TracedHost, windows: Windows) -> HostBreakdown:
    """Describe one host over the steps."""
    window = union(windows.start_ps, windows.end_ps)
    stages = _with_python(host, window, iterators(host, window))
    blocking = [stage for stage in stages if stage.blocking_ms > 0]
    slowest = _slowest(blocking)
    eager = intersection(host.select(Kind.EAGER), window)
    others = other_calls(host, windows)
    outside_ms = None if windows.inside is None else difference(window, windows.inside).total / PS_PER_MS / len(windows)
    return HostBreakdown(
        host=host.name,
        iterators=stages,
        slowest_iterator=slowest.name if slowest else None,
        input_wait_ms_per_step=intersection(host.input_wait, window).total / PS_PER_MS / len(windows),
        between_steps_ms_per_step=outside_ms,
        eager_ms_per_step=windows.of_step(eager).total / PS_PER_MS / len(windows),
        compile_ms=intersection(host.compiling, window).total / PS_PER_MS,
        graphs_built=_graphs_built(host, windows, others),
        other_calls=others,
        pipeline_busy_fraction=intersection(_making_ahead(host), window).total / max(window.total, 1),
        batches_of_workers=_count(host, Kind.WORKERS, window),
        cpu_ops=cpu_ops(host),
        input_ops=input_ops(host, window),
    )


def _graphs_built(host: TracedHost, windows: Windows, others: OtherCalls | None) -> int:
    """Count the graphs that Python built; where passes over datasets begin, only those of the training function.

    Each pass builds the graphs of its dataset's maps.
    """
    alone = others is not None and bool(others.passes_per_step) and windows.inside is not None
    return _count(host, Kind.GRAPH, windows.inside if alone else None)


def _count(host: TracedHost, kind: Kind, within: Intervals | None) -> int:
    """Count the events of a kind on all threads, where given only those that begin `within` some time."""
    starts = [
        thread.events.start_ps[(kinds & kind) != 0] for thread, kinds in zip(host.threads, host.kinds, strict=True)
    ]
    begun = np.concatenate([np.empty(0, np.int64), *starts])
    return len(begun) if within is None else int(np.count_nonzero(holds(within, begun)))


def _making_ahead(host: TracedHost) -> Intervals:
    """Return when threads of the pipeline made batches ahead; while their buffers are full they are in no event."""
    names = [thread.name for thread in host.threads]
    making = [
        index for index, name in enumerate(names) if name.startswith(THREADS) and not name.startswith(HANDING_OVER)
    ]
    return host.active(making)


def _with_python(host: TracedHost, window: Intervals, stages: tuple[IteratorFacts, ...]) -> tuple[IteratorFacts, ...]:
    """Add the Python that makes batches to the stages of tf.data, the longest first; all its time blocks."""
    spent = intersection(join([host.feeding, host.converting]), window)
    if not len(spent):
        return stages
    python = IteratorFacts(
        name=PYTHON_STAGE, count=len(spent), self_ms=spent.total / PS_PER_MS, blocking_ms=spent.total / PS_PER_MS
    )
    return tuple(sorted((*stages, python), key=lambda stage: (-stage.blocking_ms, -stage.self_ms)))


def iterators(host: TracedHost, window: Intervals) -> tuple[IteratorFacts, ...]:
    """Return the stages of the input pipeline, those first that worked longest by themselves while the training waited.

    The self time of a stage leaves out the stage below it on the same thread. tf.data names an iterator by its path, so
    the stage below has the same name with one part more.
    """
    waiting = intersection(host.input_wait, window)
    sums_by_name: dict[str, list[float]] = {}
    for index in range(len(host.threads)):
        own = _iterators_by_name(host, index)
        below: dict[str, list[Intervals]] = {}
        for name, (spans, _) in own.items():
            below.setdefault(_known_above(name, own), []).append(spans)
        for name, (spans, count) in own.items():
            alone = difference(spans, join(below.get(name, ())))
            sums = sums_by_name.setdefault(name, [0, 0, 0])
            sums[0] += count
            sums[1] += intersection(alone, window).total / PS_PER_MS
            sums[2] += intersection(alone, waiting).total / PS_PER_MS
    facts = [
        IteratorFacts(name=name, count=int(count), self_ms=own, blocking_ms=blocking)
        for name, (count, own, blocking) in sums_by_name.items()
    ]
    return tuple(sorted(facts, key=lambda stage: (-stage.blocking_ms, -stage.self_ms))[:TOP])


def _known_above(name: str, known: Container[str]) -> str:
    """Return the name of the nearest known stage above this one; empty where there is none."""
    name = above(name)
    while name and name not in known:
        name = above(name)
    return name


def _slowest(blocking: list[IteratorFacts]) -> IteratorFacts | None:
    """Return the slowest stage that works, None without one; a stage that only waits if no other works long enough."""
    longest = max(blocking, key=lambda stage: stage.blocking_ms, default=None)
    working = [stage for stage in blocking if not is_buffer(stage.name)]
    works = max(working, key=lambda stage: stage.blocking_ms, default=None)
    if longest is None or works is None or works.blocking_ms < fixed.STAGE_AT_WORK * longest.blocking_ms:
        return longest
    return works


def cpu_ops(host: TracedHost) -> tuple[CpuOp, ...]:
    """Return the types of operation that ran on the processor and launched no device work, the longest first."""
    calls = host.calls

    def launches_nothing(index: int, start: Int64s, end: Int64s) -> NDArray[np.bool_]:
        launched = np.sort(calls.start_ps[calls.thread == index])
        alone: NDArray[np.bool_] = np.searchsorted(launched, start) == np.searchsorted(launched, end)
        return alone

    return _by_type(host, range(len(host.threads)), launches_nothing, with_waits=False)[:TOP]


def input_ops(host: TracedHost, window: Intervals) -> tuple[CpuOp, ...]:
    """Return the types of operation that the input pipeline ran within the steps, calls into Python included."""
    threads = [index for index, thread in enumerate(host.threads) if thread.name.startswith(THREADS)]
    return _by_type(host, threads, lambda _, start, __: holds(window, start), with_waits=True)


def _by_type(
    host: TracedHost,
    indices: Iterable[int],
    wanted: Callable[[int, Int64s, Int64s], NDArray[np.bool_]],
    *,
    with_waits: bool,
) -> tuple[CpuOp, ...]:
    """Add up the operations of some threads by type; those that only wait for others count if `with_waits`."""
    counts: dict[str, int] = {}
    times: dict[str, int] = {}
    for index in indices:
        thread = host.threads[index]
        mask = (host.kinds[index] & Kind.OP) != 0
        if not mask.any():
            continue
        start, name = thread.events.start_ps[mask], thread.events.name[mask]
        lasted = thread.events.duration_ps[mask]
        chosen = wanted(index, start, start + lasted)
        per_name = np.bincount(name[chosen])
        time_of_name = np.bincount(name[chosen], weights=lasted[chosen])
        for used in np.flatnonzero(per_name).tolist():
            text = host.names[used]
            kind = text.rpartition(":")[2]
            if with_waits or not waits(text):
                counts[kind] = counts.get(kind, 0) + int(per_name[used])
                times[kind] = times.get(kind, 0) + int(time_of_name[used])
    longest = sorted(times, key=lambda kind: -times[kind])
    return tuple(CpuOp(type=kind, count=counts[kind], total_ms=times[kind] / PS_PER_MS) for kind in longest)


def _iterators_by_name(host: TracedHost, index: int) -> dict[str, tuple[Intervals, int]]:
    mask = (host.kinds[index] & Kind.ITERATOR) != 0
    events = host.threads[index].events
    # One sort groups all names, so the events are not read once for each stage.
    order = np.argsort(events.name[mask], kind="stable")
    name, start = events.name[mask][order], events.start_ps[mask][order]
    end = start + events.duration_ps[mask][order]
    first = np.flatnonzero(np.diff(name, prepend=-1))
    bounds = [*first.tolist(), len(name)]
    return {
        host.names[used_name]: (union(start[low:high], end[low:high]), high - low)
        for used_name, low, high in zip(name[first].tolist(), bounds, bounds[1:], strict=False)
    }
