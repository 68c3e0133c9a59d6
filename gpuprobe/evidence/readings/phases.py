"""The phases of a recording: where a GPU was busy and idle, and which part is the steady work that is judged.

Starting up, pauses and the time after the work are parts of their own. The work between them is cut where its level
changes for good; the longest piece is the steady part.
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

# A card that always works at 9 % is not idle. Idle is what lies below half of this percentile of its levels.
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
        """Its length in seconds."""
        return (self.end_ns - self.start_ns) / NS_PER_S


@dataclass(frozen=True)
class Part:
    """A part of the recording: its kind, its spans in ns, the seconds for which it was read, its mean utilization."""

    kind: Kind
    spans: tuple[Span, ...]
    seconds: float
    percent: float


def phases(recording: Telemetry, column: str, start_ns: int, end_ns: int) -> tuple[Phase, ...]:
    """Return the busy and idle phases in order; one shorter than `PHASE_EDGE_S` joins the phase before it."""
    joined: list[Phase] = []
    for busy, group in groupby(_stretches(recording, column, start_ns, end_ns), key=lambda stretch: stretch.busy):
        alike = list(group)
        start, end = alike[0].start_ns, alike[-1].end_ns
        short = busy is not None and end - start < SHORTEST_NS
        if joined and (short or busy == joined[-1].busy):
            joined[-1] = Phase(joined[-1].busy, joined[-1].start_ns, end)
        else:
            joined.append(Phase(busy, start, end))
    return tuple(joined)


def busy_span(phases: Sequence[Phase]) -> Span | None:
    """Return the span from the begin of the first busy phase to the end of the last; None where there is none."""
    busy = [phase for phase in phases if phase.busy]
    return (busy[0].start_ns, busy[-1].end_ns) if busy else None


def parts(recording: Telemetry, column: str, phases: Sequence[Phase], limits: Thresholds) -> tuple[Part, ...]:
    """Return the parts of the recording in order, exactly one of them steady; none if the GPU was never busy."""
    span = busy_span(phases)
    if span is None:
        return ()
    usual_ns, _ = windows.limits(recording.series(column)[0], 1)
    least_s = max(limits.pause_s, limits.pause_readings * usual_ns / NS_PER_S)
    works = _works(phases, span, least_s, limits)
    levels = _levels(recording, column, works, limits)
    steady = max(levels, key=lambda level: level[1])[0]
    named: list[tuple[Kind, tuple[Span, ...]]] = []
    for spans, _ in levels:
        named.append(("steady" if spans is steady else "other", spans))
    begun_ns, over_ns = steady[0][0], steady[-1][1]
    whole = (phases[0].start_ns, phases[-1].end_ns)
    named.append(("start_up", ((whole[0], works[0][0]),)))
    named.append(("tail", ((works[-1][1], whole[1]),)))
    named += [("pause", ((end, start),)) for (_, end), (start, _) in pairwise(works)]
    unjoined = [_part(recording, column, kind, spans) for kind, spans in named]
    return tuple(_joined([_renamed(part, begun_ns, over_ns, limits) for part in unjoined if part.seconds > 0]))


def _stretches(recording: Telemetry, column: str, start_ns: int, end_ns: int) -> Iterator[Phase]:
    """Yield the stretch that each reading stands for, and each gap, between the given times."""
    times, values = recording.series(column)
    if not len(times):
        yield Phase(None, start_ns, end_ns)
        return
    stands = windows.reach(times, windows.GAP_LEAST_NS)
    # A short gap before the first reading is the sampler's start.
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
    working = values[values >= 1]
    usual = float(np.percentile(working, USUAL_PERCENTILE)) if len(working) else 0.0
    return min(fixed.IDLE_BELOW_PERCENT, usual / 2) if usual >= fixed.NOTHING_PERCENT else fixed.IDLE_BELOW_PERCENT


def _works(phases: Sequence[Phase], span: Span, least_s: float, limits: Thresholds) -> list[Span]:
    """Return the spans of work, without starting up, pauses and the time after the work.

    A pause is idle for at least `least_s`, with as much work on both sides. Many or long pauses belong to how the
    training works: then they count as work.
    """
    inner = [phase for phase in phases if span[0] <= phase.start_ns and phase.end_ns <= span[1]]
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
    """Cut the work where its level changes for good; return each piece's spans and for how many seconds it was read."""
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
    """Turn other work at a low level into start-up if it comes before the steady part, into tail if after it."""
    idle = part.kind == "other" and part.percent < 100 * limits.start_up_level
    if idle and part.spans[-1][1] <= begun_ns:
        return Part("start_up", part.spans, part.seconds, part.percent)
    if idle and part.spans[0][0] >= over_ns:
        return Part("tail", part.spans, part.seconds, part.percent)
    return part


def _joined(parts_found: list[Part]) -> Iterator[Part]:
    """Join neighbours of the same kind, except pauses and other work, whose levels differ."""
    parts_found.sort(key=lambda part: part.spans[0])
    for kind, group in groupby(parts_found, key=lambda part: part.kind):
        neighbours = list(group)
        if kind in {"other", "pause"}:
            yield from neighbours
            continue
        seconds = sum(part.seconds for part in neighbours)
        percent = sum(part.percent * part.seconds for part in neighbours) / seconds
        yield Part(kind, tuple(span for part in neighbours for span in part.spans), seconds, percent)
