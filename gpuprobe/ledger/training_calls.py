"""The calls of the training function in a trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.intervals import outermost
from gpuprobe.ledger.names import Kind, is_of_gradient
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
    """Return the calls of the training function on the thread that is in it longest; None without any.

    Where no name is known, it is the compiled function that took most time.
    """
    per_thread = [host.of_thread(index, Kind.FUNCTION).total for index in range(len(host.threads))]
    best = max(range(len(per_thread)), key=per_thread.__getitem__, default=None)
    if best is not None and per_thread[best]:
        events, mask = host.threads[best].events, _that_train(host, best)
        name = host.names[int(events.name[mask][np.argmax(events.duration_ps[mask])])]
        return _calls_of(events, mask, name, by_time=False)
    return _longest_call(host)


def _that_train(host: TracedHost, place: int) -> NDArray[np.bool_]:
    """Tell which events of a thread are calls of the training function, (n,) bool.

    Keras gives the functions of `fit` and `evaluate` one name. Where the calls of some functions compute gradients,
    those of the others do not train.
    """
    events, kinds = host.threads[place].events, host.kinds[place]
    named, called = (np.flatnonzero((kinds & kind) != 0) for kind in (Kind.FUNCTION, Kind.CALL))
    # What a call runs is the first compiled function in it; where there is none, the name stands for it.
    first = np.searchsorted(events.start_ps[called], events.start_ps[named])
    function = events.name[named].astype(np.int64)
    known = first < len(called)
    known[known] = events.start_ps[called[first[known]]] < events.end_ps[named][known]
    function[known] = events.name[called[first[known]]]
    mask: NDArray[np.bool_] = (kinds & Kind.FUNCTION) != 0
    if len(distinct(function)[0]) < 2:
        return mask
    gradients = _gradients_ps(host)
    low, high = (np.searchsorted(gradients, edge[named]) for edge in (events.start_ps, events.end_ps))
    training = distinct(function[high > low])[0]
    if len(training):
        mask[named] = np.isin(function, training)
    return mask


def _gradients_ps(host: TracedHost) -> Int64s:
    """Return when operations that compute gradients started, (n,) ps, sorted."""
    of_gradient = np.array([is_of_gradient(name) for name in host.names], np.bool_)
    starts = [thread.events.start_ps[of_gradient[thread.events.name]] for thread in host.threads]
    return np.sort(np.concatenate(starts))


def _calls_of(events: Events, mask: NDArray[np.bool_], name: str, *, by_time: bool) -> TrainingCalls:
    start = events.start_ps[mask]
    end = start + events.duration_ps[mask]
    first = outermost(start, end)
    return TrainingCalls(start[first], end[first], name, by_time)


def _longest_call(host: TracedHost) -> TrainingCalls | None:
    """Return the calls of the compiled function that took most time; None where none was called."""
    totals: dict[str, int] = {}
    where: dict[str, tuple[int, list[int]]] = {}
    for index, thread in enumerate(host.threads):
        mask = (host.kinds[index] & Kind.CALL) != 0
        per_name = np.bincount(thread.events.name[mask], weights=thread.events.duration_ps[mask])
        for used in np.flatnonzero(per_name).tolist():
            match = _FUNCTION_OF_CALL.match(host.names[used])
            if not match:
                continue
            function = match[1] or match[2]
            totals[function] = totals.get(function, 0) + int(per_name[used])
            where.setdefault(function, (index, []))[1].append(used)
    if not totals:
        return None
    name = max(totals, key=totals.__getitem__)
    index, used_names = where[name]
    events = host.threads[index].events
    # Python's own event of the call has the function's name, and includes the building of its graph.
    from_python = [
        number for number in distinct(events.name.astype(np.int64))[0].tolist() if host.names[number] == name
    ]
    return _calls_of(events, np.isin(events.name, [*used_names, *from_python]), name, by_time=True)
