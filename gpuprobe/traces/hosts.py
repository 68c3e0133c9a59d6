"""Turns a host's planes into threads with their events, and finds the step markers among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.traces.frame import outer_first
from gpuprobe.traces.names import places_of
from gpuprobe.traces.timeline import NO_CORRELATION, UNKNOWN, Events, Int32s, Int64s, Steps, Thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from gpuprobe.traces.columns import LineColumns
    from gpuprobe.traces.frame import Frame
    from gpuprobe.traces.planes import Line, Plane

PLANE = "/host:"
# A plane that holds XLA's compiled programs and no events.
METADATA = "/host:metadata"
# The stats that are read, by old and new names, and the columns that they go to.
STATS = {
    "correlation_id": "correlation_id",
    "step_num": "step_num",
    "_p": "producer_id",
    "_pt": "producer_type",
    "_c": "consumer_id",
    "_ct": "consumer_type",
    "producer_id": "producer_id",
    "producer_type": "producer_type",
    "consumer_id": "consumer_id",
    "consumer_type": "consumer_type",
}
# TensorFlow joins producer and consumer by a pair of type and id. An odd factor (2^64 over the golden ratio) hashes the
# pair into one number, and leaves ids of type 0 unchanged.
TYPE_FACTOR = np.int64(0x9E3779B97F4A7C15 - 2**64)


@dataclass(frozen=True)
class _Calls:
    """The events of one line, (n,) each."""

    start_ps: Int64s
    duration_ps: Int64s
    name: Int32s
    correlation: Int64s
    step: Int64s
    producer: Int64s
    consumer: Int64s

    def where(self, chosen: NDArray[np.int64]) -> _Calls:
        return _Calls(**{name: column[chosen] for name, column in vars(self).items()})


def is_host(plane: str) -> bool:
    """Return whether a plane of that name holds threads of a host."""
    return plane.startswith(PLANE) and plane != METADATA


def threads_of(planes: list[Plane], frame: Frame) -> tuple[Thread, ...]:
    """Return the threads of a host's planes: lines of one id, such as TensorFlow's and CUPTI's, are one thread."""
    lines: dict[tuple[int, str], list[tuple[Plane, Line]]] = {}
    for plane in planes:
        for line in plane.lines:
            lines.setdefault((line.id, "" if line.id else line.name), []).append((plane, line))
    threads = (_thread(thread_lines, frame) for thread_lines in lines.values())
    return tuple(thread for thread in threads if len(thread.events))


def markers_of(threads: tuple[Thread, ...]) -> Steps:
    """Return the events of one host that carry a step number, without those within one of the same number."""
    markers = [
        (start, duration, number)
        for thread in threads
        if len(thread.step)
        for start, duration, number in _numbered(thread)
    ]
    kept: list[tuple[int, int, int]] = []
    until: dict[int, int] = {}
    for start, duration, number in sorted(markers, key=lambda step: (step[0], -step[1])):
        if start + duration > until.get(number, start):
            kept.append((start, duration, number))
            until[number] = start + duration
    columns = np.array(kept, np.int64).reshape(-1, 3).T
    return Steps(*np.ascontiguousarray(columns))


def _numbered(thread: Thread) -> Iterator[tuple[int, int, int]]:
    marked = np.flatnonzero(thread.step != UNKNOWN)
    events = thread.events
    return zip(
        events.start_ps[marked].tolist(), events.duration_ps[marked].tolist(), thread.step[marked].tolist(), strict=True
    )


def _thread(lines: list[tuple[Plane, Line]], frame: Frame) -> Thread:
    parts = [_calls(plane, line, frame) for plane, line in lines]
    calls = parts[0]
    if len(parts) > 1:
        calls = _Calls(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(calls)})
    order = outer_first(calls.start_ps, calls.duration_ps)
    if order is not None:
        calls = calls.where(order)
    return Thread(
        name=next((line.name for _, line in lines if line.name), f"thread {lines[0][1].id}"),
        host=frame.host,
        events=Events(calls.start_ps, calls.duration_ps, calls.name, calls.correlation),
        step=_or_none(calls.step, UNKNOWN),
        producer=_or_none(calls.producer, NO_CORRELATION),
        consumer=_or_none(calls.consumer, NO_CORRELATION),
    )


def _or_none(column: Int64s, missing: int) -> Int64s:
    return column if (column != missing).any() else np.empty(0, np.int64)


def _calls(plane: Plane, line: Line, frame: Frame) -> _Calls:
    events = line.events
    calls = _Calls(
        start_ps=frame.starts(plane, line),
        duration_ps=events.duration_ps,
        name=places_of(events.metadata, plane.names, frame.names),
        correlation=events.numbers("correlation_id", NO_CORRELATION),
        step=events.numbers("step_num", UNKNOWN),
        producer=_joint(events, "producer_type", "producer_id"),
        consumer=_joint(events, "consumer_type", "consumer_id"),
    )
    forwards = events.duration_ps >= 0
    frame.backwards(plane, len(forwards) - int(forwards.sum()))
    return calls if forwards.all() else calls.where(np.flatnonzero(forwards))


def _joint(events: LineColumns, kind: str, number: str) -> Int64s:
    """Fold type and id into one number (n,), NO_CORRELATION where an event has no id."""
    ids = events.numbers(number, NO_CORRELATION)
    if kind in events.stats and number in events.stats:
        types = events.numbers(kind, 0)
        ids = np.where(ids == NO_CORRELATION, ids, ids + types * TYPE_FACTOR)
    return ids
