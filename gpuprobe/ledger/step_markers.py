"""The step markers of a host's threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.ledger.intervals import Intervals, outermost
from gpuprobe.traces.timeline import UNKNOWN

if TYPE_CHECKING:
    from gpuprobe.ledger.host import TracedHost
    from gpuprobe.traces.timeline import Int64s


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
        first = outermost(start, end)
        if best is None or len(first) > len(best.spans):
            kineto = host.names[int(thread.events.name[marked][0])].startswith("ProfilerStep")
            best = Marks(Intervals(start[first], end[first]), thread.step[marked][first], not kineto)
    return best
