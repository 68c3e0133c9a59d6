"""Where the steps of a trace begin and end, and what shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import Intervals, intersection, join, union
from gpuprobe.ledger.names import Kind
from gpuprobe.traces.names import distinct
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Events, Int64s, Steps

NO_MARKER = "no marker: the whole trace is taken as one step"
# What TensorFlow and JAX call the call of a function that they compiled.
_FUNCTION_OF_CALL = re.compile(r"(?:Eager(?:Local)?Execute: __inference_(.+?)_\d+|\w+Function\((.+)\))$")


@dataclass(frozen=True)
class Windows:
    """The steps: `start_ps` and `end_ps` (n,) int64, `number` as the trace gives it, and `source`, what told of them.

    `inside` is when the host was in the training function, None where the trace does not tell; `inside_source`
    says from what. `whole` tells whether the last step is as whole as the others: on a processor it ends with its
    marker, and lacks what followed. On a GPU it ends with the work that the others left in the queue, and belongs.
    `compiled` tells whether `inside` are calls of a function that a framework compiled, so that no Python of the user's
    runs there. `named` tells that they are known to be the training function, by name or by markers around it: what
    Python starts outside them is no part of the step's own work.
    """

    start_ps: Int64s
    end_ps: Int64s
    number: Int64s
    source: str
    inside: Intervals | None
    inside_source: str
    whole: bool
    compiled: bool = False
    named: bool = False

    def __len__(self) -> int:
        """Count the steps."""
        return len(self.start_ps)

    def of_step(self, work: Intervals) -> Intervals:
        """Return what of the work that Python starts is the step's: saving, logging and metrics beside it are not."""
        return intersection(work, self.inside) if self.inside is not None and self.named else work

    @property
    def guessed(self) -> bool:
        """Whether nothing showed the steps, so that all of the device's work counts as one."""
        return self.source == NO_MARKER


@dataclass(frozen=True)
class _Found:
    """Candidates for the steps: where they start, where the last ends by itself, what told of them, `Windows.whole`."""

    start_ps: Int64s
    number: Int64s
    end_ps: int
    source: str
    whole: bool


def find(
    host: TracedHost, device_steps: Steps, worked_ps: tuple[int, int] | None, trains: bool = True
) -> Windows | None:
    """Find the steps: from markers, the training function, the `Steps` line, the iterator, or as one whole.

    `worked_ps` is when the first work of the device was launched and when its last work ended, with which the last
    step ends; None where the processor is the device: then it ends with its marker. Returns None where there is
    nothing at all. A device that does not take part in the training (`trains`) has no steps but its own work.
    """
    marks = _marks(host)
    calls = _calls(host)
    inside, inside_source = _inside(host, marks, calls)
    found = _found(host, marks, calls, device_steps, worked_ps) if trains else _whole(worked_ps)
    if found is None:
        return None
    whole = worked_ps is not None or found.whole
    last = max(worked_ps[1], int(found.start_ps[-1])) if worked_ps else found.end_ps
    ends = np.append(found.start_ps[1:], last)
    kept = ends > found.start_ps
    if not kept.any():
        return None
    number = found.number[kept]
    compiled = calls is not None
    named = calls is None or not calls.by_time
    return Windows(
        found.start_ps[kept], ends[kept], number, found.source, inside, inside_source, whole, compiled, named
    )


def _inside(host: TracedHost, marks: _Marks | None, calls: _Calls | None) -> tuple[Intervals | None, str]:
    """Return when the host was in the training function, and what tells so."""
    compiled = host.select(Kind.JIT)
    if len(compiled):
        # The call only hands the work over: threads of the runtime go on with it after it has returned.
        return join([compiled, host.select(Kind.KERNEL_RUN)]), "the calls of compiled functions and their execution"
    if calls is not None:
        # A loop of several functions, such as a generator's and a discriminator's, is outside none of them.
        others = host.select(Kind.CALL) if calls.by_time else Intervals()
        return join([union(calls.start_ps, calls.end_ps), others]), f"the calls of {calls.name}"
    if marks is not None and marks.enclose_the_call:
        return marks.spans, "the step markers"
    return None, ""


def _found(
    host: TracedHost,
    marks: _Marks | None,
    calls: _Calls | None,
    device_steps: Steps,
    worked_ps: tuple[int, int] | None,
) -> _Found | None:
    if marks is not None:
        return _Found(
            marks.spans.start, marks.number, int(marks.spans.end[-1]), "step markers", not marks.enclose_the_call
        )
    if calls is not None:
        starts, end = calls.start_ps, int(calls.end_ps[-1])
        return _Found(starts, _unknown(starts), end, f"the calls of {calls.name}", whole=False)
    if len(device_steps):
        end = int(device_steps.end_ps.max())
        return _Found(device_steps.start_ps, device_steps.number, end, "the Steps line of the profiler", whole=True)
    waits = host.input_wait
    # One wait may be the only one, long after the work of the step that it is not part of.
    if len(waits) > 1:
        return _Found(waits.start, _unknown(waits.start), host.last_ps, "the calls of the iterator", whole=False)
    return _whole(worked_ps)


def _whole(worked_ps: tuple[int, int] | None) -> _Found | None:
    if worked_ps is None:
        return None
    start = np.array([worked_ps[0]], np.int64)
    return _Found(start, _unknown(start), worked_ps[1], NO_MARKER, whole=True)


@dataclass(frozen=True)
class _Marks:
    """The step markers of one thread; `enclose_the_call` where they are events around the training function.

    Kineto's lie one after the other and hold callbacks and logging too, so that nothing lies outside them.
    """

    spans: Intervals
    number: Int64s
    enclose_the_call: bool


def _marks(host: TracedHost) -> _Marks | None:
    """The outermost marker events of the host, on the thread that has most of them."""
    best: _Marks | None = None
    for thread in host.threads:
        marked = thread.step != UNKNOWN
        if not marked.any():
            continue
        start = thread.events.start_ps[marked]
        end = start + thread.events.duration_ps[marked]
        first = _outermost(start, end)
        if best is None or len(first) > len(best.spans):
            kineto = host.names[int(thread.events.name[marked][0])].startswith("ProfilerStep")
            best = _Marks(Intervals(start[first], end[first]), thread.step[marked][first], not kineto)
    return best


@dataclass(frozen=True)
class _Calls:
    """The outermost calls of one function on one thread, (n,) each: they may touch, and each is one all the same.

    `by_time` where no name told that it trains, but that most time went there.
    """

    start_ps: Int64s
    end_ps: Int64s
    name: str
    by_time: bool


def _calls(host: TracedHost) -> _Calls | None:
    """The calls of the training function, on the thread that is in it longest; by time where no name is known."""
    per_thread = [host.of_thread(place, Kind.FUNCTION).total for place in range(len(host.threads))]
    best = max(range(len(per_thread)), key=per_thread.__getitem__, default=None)
    if best is not None and per_thread[best]:
        events, mask = host.threads[best].events, (host.kinds[best] & Kind.FUNCTION) != 0
        name = host.names[int(events.name[mask][np.argmax(events.duration_ps[mask])])]
        return _calls_of(events, mask, name, by_time=False)
    return _longest_call(host)


def _calls_of(events: Events, mask: NDArray[np.bool_], name: str, *, by_time: bool) -> _Calls:
    start = events.start_ps[mask]
    end = start + events.duration_ps[mask]
    first = _outermost(start, end)
    return _Calls(start[first], end[first], name, by_time)


def _longest_call(host: TracedHost) -> _Calls | None:
    """The calls of the tf.function in which most time went, where no name is one that we know."""
    totals: dict[str, int] = {}
    where: dict[str, tuple[int, list[int]]] = {}
    for place, thread in enumerate(host.threads):
        mask = (host.kinds[place] & Kind.CALL) != 0
        per_name = np.bincount(thread.events.name[mask], weights=thread.events.duration_ps[mask])
        for used in np.flatnonzero(per_name).tolist():
            found = _FUNCTION_OF_CALL.match(host.names[used])
            if not found:
                continue
            function = found[1] or found[2]
            totals[function] = totals.get(function, 0) + int(per_name[used])
            where.setdefault(function, (place, []))[1].append(used)
    if not totals:
        return None
    name = max(totals, key=totals.__getitem__)
    place, used_names = where[name]
    events = host.threads[place].events
    # Python's own event of the call bears the function's name, and holds the building of its graph too.
    from_python = [
        number for number in distinct(events.name.astype(np.int64))[0].tolist() if host.names[number] == name
    ]
    return _calls_of(events, np.isin(events.name, [*used_names, *from_python]), name, by_time=True)


def _outermost(start: Int64s, end: Int64s) -> Int64s:
    """Places of the stretches that lie in no earlier one; they are sorted by start."""
    reached = np.maximum.accumulate(end)
    return np.flatnonzero(np.concatenate([[True], start[1:] >= reached[:-1]]))


def _unknown(starts: Int64s) -> Int64s:
    return np.full(len(starts), UNKNOWN, np.int64)
