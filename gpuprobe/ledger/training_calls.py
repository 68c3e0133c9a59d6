"""The calls of the training function in a trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import outermost
from gpuprobe.ledger.names import Kind
from gpuprobe.traces.names import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Events, Int64s

# The events in which TensorFlow and JAX call a compiled function.
_FUNCTION_OF_CALL = re.compile(r"(?:Eager(?:Local)?Execute: __inference_(.+?)_\d+|\w+Function\((.+)\))$")


@dataclass(frozen=True)
class TrainingCalls:
    """The outermost calls of one function on one thread, (n,) each; calls that touch stay apart.

    `by_time` tells that the function was chosen because it took most time, not by its name.
    """

    start_ps: Int64s
    end_ps: Int64s
    name: str
    by_time: bool


def training_calls(host: TracedHost) -> TrainingCalls | None:
    """Return the calls of the training function on the thread that is in it longest; by time where no name is known."""
    per_thread = [host.of_thread(place, Kind.FUNCTION).total for place in range(len(host.threads))]
    best = max(range(len(per_thread)), key=per_thread.__getitem__, default=None)
    if best is not None and per_thread[best]:
        events, mask = host.threads[best].events, (host.kinds[best] & Kind.FUNCTION) != 0
        name = host.names[int(events.name[mask][np.argmax(events.duration_ps[mask])])]
        return _calls_of(events, mask, name, by_time=False)
    return _longest_call(host)


def _calls_of(events: Events, mask: NDArray[np.bool_], name: str, *, by_time: bool) -> TrainingCalls:
    start = events.start_ps[mask]
    end = start + events.duration_ps[mask]
    first = outermost(start, end)
    return TrainingCalls(start[first], end[first], name, by_time)


def _longest_call(host: TracedHost) -> TrainingCalls | None:
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
