"""What held the host while it launched nothing: the event in which it was for most of such a stretch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.ledger.host import INPUT_THREADS
from gpuprobe.ledger.intervals import Intervals, join, union
from gpuprobe.ledger.names import Kind, runs_python, wraps
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from gpuprobe.ledger.host import Host
    from gpuprobe.ledger.pace import Held, LaunchCalls
    from gpuprobe.traces.timeline import Int64s

# An event in so much of a stretch is what held the host; an operation already in half of it, before what encloses it.
MOST, HALF = 0.8, 0.5
# A frame or call in which so many launches lie is not one that launches nothing.
LAUNCHES_MANY = 10
# The calls by which a framework runs a whole function.
_CALLS = Kind.FUNCTION | Kind.CALL | Kind.EXECUTION


@dataclass(frozen=True)
class Holder:
    """One stretch in which nothing was launched, and the event that the host was in; `name` and `thread` are places.

    `start_ps` and `end_ps` are those of the stretch; `until_ps` is when the event ends, `kind` its `Kind`. `told` says
    whether the event tells what the host did: not where it only encloses what is launched. `name` is UNKNOWN where no
    event is as long as the stretch: many short ones may fill it.
    """

    start_ps: int
    end_ps: int
    in_call: bool
    name: int = UNKNOWN
    thread: int = UNKNOWN
    until_ps: int = 0
    kind: int = 0
    told: bool = False

    @property
    def middle_ps(self) -> int:
        """The middle of the stretch, which lies in its step: it may begin with the last launch of the one before."""
        return (self.start_ps + self.end_ps) // 2


def watched(host: Host, feeding: Iterable[int]) -> tuple[int, ...]:
    """Return the places of the threads whose events tell what held the host.

    They are those that launch or call the training function, and those on which TensorFlow runs operations; where no
    launch is known, all but those of the input pipeline.
    """
    chosen = set(feeding)
    every = [place for place, thread in enumerate(host.threads) if not thread.name.startswith(INPUT_THREADS)]
    if not chosen:
        return tuple(every)
    runs = Kind.FUNCTION | Kind.CALL | Kind.OP
    return tuple(place for place in every if place in chosen or np.any(host.kinds[place] & runs))


def seen(host: Host, threads: Iterable[int]) -> Intervals:
    """Return when any of the threads was in any event but a marker of a step."""
    parts = []
    for place in threads:
        events, kept = host.threads[place].events, host.unmarked(place)
        parts.append(union(events.start_ps[kept], events.end_ps[kept]))
    return join(parts)


def holders(host: Host, threads: Iterable[int], stretches: Held, calls: LaunchCalls) -> Iterator[Holder]:
    """Yield what held the host in each stretch."""
    events = _Long.of(host, threads, round(HALF * stretches.limit_ps))
    for start, end, in_call in zip(
        stretches.start_ps.tolist(), stretches.end_ps.tolist(), stretches.in_call.tolist(), strict=True
    ):
        place = events.holder(start, end)
        if place is None:
            yield Holder(start, end, in_call)
            continue
        name, thread = int(events.name[place]), int(events.thread[place])
        begun, until = int(events.start_ps[place]), int(events.end_ps[place])
        inside = (calls.thread == thread) & (calls.start_ps >= begun) & (calls.start_ps < until)
        told = not events.encloses[place] and int(inside.sum()) < LAUNCHES_MANY
        yield Holder(start, end, in_call, name, thread, until, int(events.kind[place]), told)


@dataclass(frozen=True)
class _Long:
    """The events of some length, (n,) each; `encloses` are those that only tell that a framework runs something."""

    start_ps: Int64s
    end_ps: Int64s
    name: Int64s
    thread: Int64s
    kind: Int64s
    encloses: NDArray[np.bool_]

    @classmethod
    def of(cls, host: Host, threads: Iterable[int], least_ps: int) -> _Long:
        wrapper = np.array([wraps(name) for name in host.names], np.bool_)
        waiting = host.waits & ~np.array([runs_python(name) for name in host.names], np.bool_)
        columns: list[list[np.ndarray]] = [[np.empty(0, np.int64)] for _ in range(5)]
        for place in threads:
            events = host.threads[place].events
            kept = host.unmarked(place) & (events.duration_ps >= least_ps) & ~waiting[events.name]
            name, kind = events.name[kept].astype(np.int64), host.kinds[place][kept].astype(np.int64)
            found = events.start_ps[kept], events.end_ps[kept], name, np.full(len(name), place), kind
            for column, values in zip(columns, found, strict=True):
                column.append(values)
        start, end, name, thread, kind = (np.concatenate(column) for column in columns)
        return cls(start, end, name, thread, kind, wrapper[name] | ((kind & _CALLS) != 0))

    def holder(self, start: int, end: int) -> int | None:
        """Return the place of the shortest event that fills the stretch, an operation first; None where none does."""
        filled = (np.minimum(self.end_ps, end) - np.maximum(self.start_ps, start)) / (end - start)
        lasted = self.end_ps - self.start_ps
        ranks = (filled >= HALF) & ((self.kind & Kind.OP) != 0), filled >= MOST, filled >= HALF
        chosen = next((np.flatnonzero(rank) for rank in ranks if rank.any()), None)
        return None if chosen is None else int(chosen[np.argmin(lasted[chosen])])
