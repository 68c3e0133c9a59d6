"""The phases of a recording: where a GPU was busy and idle, and which part is the steady work that is judged.

Starting up, what comes after the work, and pauses are told by themselves. The work between them is cut where its level
changes for good; the longest part is the steady one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from gpuprobe.evidence.readings.changes import change_points
from gpuprobe.evidence.readings.stretch import GAP_NS, Stretch
from gpuprobe.telemetry import windows
from gpuprobe.thresholds import fixed
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from gpuprobe.telemetry import Telemetry
    from gpuprobe.thresholds import Thresholds

    Span = tuple[int, int]

# A card that works at 9 % all the time is not idle: what is below half of this percentile of its levels is.
USUAL_PERCENTILE = 90
SHORTEST_NS = int(fixed.PHASE_EDGE_S * NS_PER_S)

Kind = Literal["start_up", "steady", "pause", "other", "tail"]


@dataclass(frozen=True)
class Phase:
    """A stretch in which the GPU was busy or idle, or in which nothing is known (None)."""

    busy: bool | None
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.end_ns - self.start_ns) / NS_PER_S


@dataclass(frozen=True)
class Part:
    """A part of the recording by what it was: its spans, for how long something is known of it, and its mean."""

    kind: Kind
    spans: tuple[Span, ...]
    seconds: float
    percent: float


def phases(recording: Telemetry, column: str, start_ns: int, end_ns: int) -> tuple[Phase, ...]:
    """Return the busy and idle phases of a utilization in order; one of a second alone goes to the phase before it."""
    joined: list[Phase] = []
    for busy, group in groupby(_stretches(recording, column, start_ns, end_ns), key=lambda one: one.busy):
        one = list(group)
        start, end = one[0].start_ns, one[-1].end_ns
        short = busy is not None and end - start < SHORTEST_NS
        if joined and (short or busy == joined[-1].busy):
            joined[-1] = Phase(joined[-1].busy, joined[-1].start_ns, end)
        else:
            joined.append(Phase(busy, start, end))
    return tuple(joined)


def busy_span(found: Sequence[Phase]) -> Span | None:
    """Return from where the first busy phase begins to where the last one ends, or None where there is none."""
    busy = [phase for phase in found if phase.busy]
    return (busy[0].start_ns, busy[-1].end_ns) if busy else None


def parts(recording: Telemetry, column: str, found: Sequence[Phase], limits: Thresholds) -> tuple[Part, ...]:
    """Return what the recording consists of, in order of time, exactly one part the steady one; none if never busy."""
    span = busy_span(found)
    if span is None:
        return ()
    usual_ns, _ = windows.limits(recording.series(column)[0], 1)
    least_s = max(limits.pause_s, limits.pause_readings * usual_ns / NS_PER_S)
    works = _works(found, span, least_s, limits)
    levels = _levels(recording, column, works, limits)
    steady = max(levels, key=lambda one: one[1])[0]
    named: list[tuple[Kind, tuple[Span, ...]]] = []
    for spans, _ in levels:
        named.append(("steady" if spans is steady else "other", spans))
    begun, over = steady[0][0], steady[-1][1]
    whole = (found[0].start_ns, found[-1].end_ns)
    named.append(("start_up", ((whole[0], works[0][0]),)))
    named.append(("tail", ((works[-1][1], whole[1]),)))
    named += [("pause", ((end, start),)) for (_, end), (start, _) in pairwise(works)]
    made = [_part(recording, column, kind, spans) for kind, spans in named]
    return tuple(_joined([_renamed(part, begun, over, limits) for part in made if part.seconds > 0]))


def _stretches(recording: Telemetry, column: str, start_ns: int, end_ns: int) -> Iterator[Phase]:
    """Yield each reading's stand and each gap within the times given."""
    times, values = recording.series(column)
    if not len(times):
        yield Phase(None, start_ns, end_ns)
        return
    stands = windows.reach(times, windows.GAP_LEAST_NS)
    # What is missing for a moment before the first reading is the sampler's start.
    if start_ns < times[0] <= start_ns + GAP_NS:
        times = np.append(np.int64(start_ns), times[1:])
    kept = (stands > start_ns) & (times < end_ns)
    idle_below = _idle_below(values[kept])
    before = start_ns
    for since, until, value in zip(
        times[kept].tolist(), stands[kept].tolist(), (values[kept] >= idle_below).tolist(), strict=True
    ):
        if since > before:
            yield Phase(None, before, since)
        begun, before = max(since, before), min(until, end_ns)
        if before > begun:
            yield Phase(value, begun, before)
    if before < end_ns:
        yield Phase(None, before, end_ns)


def _idle_below(values: NDArray[np.float64]) -> float:
    """Return the level (%) below which the GPU counts as idle."""
    some = values[values >= 1]
    usual = float(np.percentile(some, USUAL_PERCENTILE)) if len(some) else 0.0
    return min(fixed.IDLE_BELOW_PERCENT, usual / 2) if usual >= fixed.NOTHING_PERCENT else fixed.IDLE_BELOW_PERCENT


def _works(found: Sequence[Phase], span: Span, least_s: float, limits: Thresholds) -> list[Span]:
    """Return the spans of work between starting up, pauses and what comes after.

    A pause is idle time of `least_s` and more with as much work on both sides; where there are many, or they take much
    of the time, they are how it works.
    """
    inner = [phase for phase in found if span[0] <= phase.start_ns and phase.end_ns <= span[1]]
    works = [span]
    for phase in inner:
        if phase.busy is False and phase.seconds >= least_s:
            start, end = works.pop()
            works += [(start, phase.start_ns), (phase.end_ns, end)]
    long = [work for work in works if (work[1] - work[0]) / NS_PER_S >= least_s]
    if not long:
        return [span]
    first, last = works.index(long[0]), works.index(long[-1])
    kept = works[first : last + 1]
    paused = sum(start - end for (_, end), (start, _) in pairwise(kept))
    few = len(kept) - 1 <= limits.pauses_few and kept == long
    if few or paused <= limits.pause_share * sum(end - start for start, end in kept):
        return kept
    return [(kept[0][0], kept[-1][1])]


def _levels(
    recording: Telemetry, column: str, works: list[Span], limits: Thresholds
) -> list[tuple[tuple[Span, ...], float]]:
    """Cut the work where its level changes for good; return the spans of each part and for how long it is known."""
    stretch = Stretch(recording, tuple(works))
    levels = stretch.level(column)
    known = ~np.isnan(levels)
    starts, widths = stretch.cells_ns[0][known], stretch.widths_s[known]
    cuts = change_points(levels[known], float(np.median(widths)), limits) if len(widths) else []
    if not cuts:
        return [(tuple(works), float(widths.sum()))]
    edges = [works[0][0], *starts[cuts].tolist(), works[-1][1]]
    return [
        (tuple((max(start, a), min(end, b)) for start, end in works if max(start, a) < min(end, b)), float(some.sum()))
        for a, b, some in zip(edges, edges[1:], np.split(widths, cuts), strict=False)
    ]


def _part(recording: Telemetry, column: str, kind: Kind, spans: tuple[Span, ...]) -> Part:
    values, seconds = Stretch(recording, spans).weighted(column)
    known = float(seconds.sum())
    return Part(kind, spans, known, float(np.average(values, weights=seconds)) if known else 0.0)


def _renamed(part: Part, begun_ns: int, over_ns: int, limits: Thresholds) -> Part:
    """Call other work at a low level start-up where it comes before the steady part, and tail where it comes after."""
    idle = part.kind == "other" and part.percent < 100 * limits.start_up_level
    if idle and part.spans[-1][1] <= begun_ns:
        return Part("start_up", part.spans, part.seconds, part.percent)
    if idle and part.spans[0][0] >= over_ns:
        return Part("tail", part.spans, part.seconds, part.percent)
    return part


def _joined(made: list[Part]) -> Iterator[Part]:
    """Join neighbours of the same kind, but no pauses and no other work: their levels differ."""
    made.sort(key=lambda part: part.spans[0])
    for kind, group in groupby(made, key=lambda part: part.kind):
        some = list(group)
        if kind in {"other", "pause"}:
            yield from some
            continue
        seconds = sum(part.seconds for part in some)
        percent = sum(part.percent * part.seconds for part in some) / seconds
        yield Part(kind, tuple(span for part in some for span in part.spans), seconds, percent)
