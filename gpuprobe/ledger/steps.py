"""Where the steps of a trace begin and end, and what in the trace shows it."""

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
# The events in which TensorFlow and JAX call a compiled function.
_FUNCTION_OF_CALL = re.compile(r"(?:Eager(?:Local)?Execute: __inference_(.+?)_\d+|\w+Function\((.+)\))$")


@dataclass(frozen=True)
class Windows:
    """The steps, (n,) each: `start_ps`, `end_ps` and `number` as the trace gives it; `source` says what showed them.

    `inside` is when the host was in the training function, None where the trace does not tell; `inside_source` says
    what showed it. `whole` tells whether the last step is as whole as the others. On a processor it ends with its
    marker, so the time up to the next step is missing. On a GPU it ends with the work left in the queue, and is whole.
    `compiled` tells that `inside` are calls of a compiled function, in which no Python of the user's runs. `named`
    tells that they are known to be the training function, by name or by markers: what Python starts outside them is no
    work of the step.
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
        """Return the part of the work started by Python that belongs to the step: not saving, logging or metrics."""
        return intersection(work, self.inside) if self.inside is not None and self.named else work

    @property
    def guessed(self) -> bool:
        """Whether nothing showed the steps, so that all of the device's work counts as one step."""
        return self.source == NO_MARKER


@dataclass(frozen=True)
class _StepStarts:
    """Where the steps start, where the last one ends by itself, what showed them, and whether that one is whole."""

    start_ps: Int64s
    number: Int64s
    end_ps: int
    source: str
    whole: bool


def find(
    host: TracedHost, device_steps: Steps, worked_ps: tuple[int, int] | None, trains: bool = True
) -> Windows | None:
    """Find the steps: from markers, the training function, the `Steps` line, the iterator, or as one whole.

    `worked_ps` is when the device's first work was launched and when its last work ended, where the last step ends
    too. It is None where the processor is the device: then the last step ends with its marker. A device that does not
    take part in the training (`trains`) has one step, its own work. Returns None where nothing shows a step.
    """
    marks = marks_of(host)
    calls = _calls(host)
    inside, inside_source = _inside(host, marks, calls)
    starts = _step_starts(host, marks, calls, device_steps, worked_ps) if trains else _one_step(worked_ps)
    if starts is None:
        return None
    whole = worked_ps is not None or starts.whole
    last_end = max(worked_ps[1], int(starts.start_ps[-1])) if worked_ps else starts.end_ps
    ends = np.append(starts.start_ps[1:], last_end)
    kept = ends > starts.start_ps
    if not kept.any():
        return None
    number = starts.number[kept]
    compiled = calls is not None
    named = calls is None or not calls.by_time
    return Windows(
        starts.start_ps[kept], ends[kept], number, starts.source, inside, inside_source, whole, compiled, named
    )


def _inside(host: TracedHost, marks: Marks | None, calls: _Calls | None) -> tuple[Intervals | None, str]:
    """Return when the host was in the training function, and what in the trace shows it."""
    compiled = host.select(Kind.JIT)
    if len(compiled):
        # The call only hands the work over: threads of the runtime go on with it after it returns.
        return join([compiled, host.select(Kind.KERNEL_RUN)]), "the calls of compiled functions and their execution"
    if calls is not None:
        # A loop may call several functions, such as those of a generator and a discriminator: inside is any of them.
        others = host.select(Kind.CALL) if calls.by_time else Intervals()
        return join([union(calls.start_ps, calls.end_ps), others]), f"the calls of {calls.name}"
    if marks is not None and marks.enclose_the_call:
        return marks.spans, "the step markers"
    return None, ""


def _step_starts(
    host: TracedHost,
    marks: Marks | None,
    calls: _Calls | None,
    device_steps: Steps,
    worked_ps: tuple[int, int] | None,
) -> _StepStarts | None:
    if marks is not None:
        return _StepStarts(
            marks.spans.start, marks.number, int(marks.spans.end[-1]), "step markers", not marks.enclose_the_call
        )
    if calls is not None:
        starts, end = calls.start_ps, int(calls.end_ps[-1])
        return _StepStarts(starts, _unknown(starts), end, f"the calls of {calls.name}", whole=False)
    if len(device_steps):
        end = int(device_steps.end_ps.max())
        return _StepStarts(
            device_steps.start_ps, device_steps.number, end, "the Steps line of the profiler", whole=True
        )
    waits = host.input_wait
    # A single wait may lie long after the work of its step.
    if len(waits) > 1:
        return _StepStarts(waits.start, _unknown(waits.start), host.last_ps, "the calls of the iterator", whole=False)
    return _one_step(worked_ps)


def _one_step(worked_ps: tuple[int, int] | None) -> _StepStarts | None:
    if worked_ps is None:
        return None
    start = np.array([worked_ps[0]], np.int64)
    return _StepStarts(start, _unknown(start), worked_ps[1], NO_MARKER, whole=True)


@dataclass(frozen=True)
class Marks:
    """The step markers of one thread; `enclose_the_call` where they are events around the training function.

    Kineto's markers follow each other without a gap and include callbacks and logging: nothing lies outside them.
    """

    spans: Intervals
    number: Int64s
    enclose_the_call: bool


def marks_of(host: TracedHost) -> Marks | None:
    """Return the outermost step markers of the host, on the thread that has most of them; None without any."""
    best: Marks | None = None
    for thread in host.threads:
        marked = thread.step != UNKNOWN
        if not marked.any():
            continue
        start = thread.events.start_ps[marked]
        end = start + thread.events.duration_ps[marked]
        first = _outermost(start, end)
        if best is None or len(first) > len(best.spans):
            kineto = host.names[int(thread.events.name[marked][0])].startswith("ProfilerStep")
            best = Marks(Intervals(start[first], end[first]), thread.step[marked][first], not kineto)
    return best


@dataclass(frozen=True)
class _Calls:
    """The outermost calls of one function on one thread, (n,) each; calls that touch stay apart.

    `by_time` tells that the function was chosen because it took most time, not by its name.
    """

    start_ps: Int64s
    end_ps: Int64s
    name: str
    by_time: bool


def _calls(host: TracedHost) -> _Calls | None:
    """Return the calls of the training function on the thread that is in it longest; by time where no name is known."""
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
    """Return the calls of the compiled function that took most time."""
    totals: dict[str, int] = {}
    where: dict[str, tuple[int, list[int]]] = {}
    for place, thread in enumerate(host.threads):
        mask = (host.kinds[place] & Kind.CALL) != 0
        per_name = np.bincount(thread.events.name[mask], weights=thread.events.duration_ps[mask])
        for used in np.flatnonzero(per_name).tolist():
            match = _FUNCTION_OF_CALL.match(host.names[used])
            if not match:
                continue
            function = match[1] or match[2]
            totals[function] = totals.get(function, 0) + int(per_name[used])
            where.setdefault(function, (place, []))[1].append(used)
    if not totals:
        return None
    name = max(totals, key=totals.__getitem__)
    place, used_names = where[name]
    events = host.threads[place].events
    # Python's own event of the call has the function's name, and includes the building of its graph.
    from_python = [
        number for number in distinct(events.name.astype(np.int64))[0].tolist() if host.names[number] == name
    ]
    return _calls_of(events, np.isin(events.name, [*used_names, *from_python]), name, by_time=True)


def _outermost(start: Int64s, end: Int64s) -> Int64s:
    """Return the places of the stretches that lie in no earlier one; they are sorted by start."""
    reached = np.maximum.accumulate(end)
    return np.flatnonzero(np.concatenate([[True], start[1:] >= reached[:-1]]))


def _unknown(starts: Int64s) -> Int64s:
    return np.full(len(starts), UNKNOWN, np.int64)
