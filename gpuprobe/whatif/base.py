"""The base of predictions: the graph of a trace, fitted to the step without the profiler where that was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpuprobe.records import Gain
from gpuprobe.thresholds import fixed
from gpuprobe.whatif.change import Alter, Change, mixture_ms
from gpuprobe.whatif.cpu_contention import Sharing, sharings
from gpuprobe.whatif.graph import Edge, Graph, Work
from gpuprobe.whatif.records import Prediction
from gpuprobe.whatif.replay import steady_ms

if TYPE_CHECKING:
    from gpuprobe.whatif.run_facts import Known

BISECTIONS = 8
# The name of the baseline of gains, where the training has none.
TRACED = "the traced training"


@dataclass(frozen=True)
class Base:
    """The base of predictions: the graph without the profiler's overhead, and the step time that gains are relative to.

    `over` names the baseline of the gains. `shared` are the ways in which a processor's cores may be shared, the
    expected one first. The replay's times are multiplied by `drift` to give those of the untraced training, whose step
    takes `pace_ms`. `aside_ms` is the part of the untraced step that the trace does not show. What the usual step has
    of it is taken to be the same work, done more slowly: `slower` is the ratio of the usual step to the traced one. A
    change leaves the rest as it is, unless it works in some steps only. The range covers that a change leaves all of
    `aside_ms` as it is, and that all of it shrinks in proportion.
    """

    graph: Graph
    per_call: int
    step_ms: float
    drift: float
    pace_ms: float
    aside_ms: float
    error: float
    doubt: float
    over: str
    shared: tuple[Sharing, ...] = ()
    slower: float = 1.0

    @classmethod
    def of(cls, graph: Graph, known: Known, error: float) -> Base:
        """Fit the graph to the untraced step, where that was measured."""
        steady = steady_ms(graph) / known.steps_per_call
        untraced = known.untraced_step_ms or steady
        fitted = _without_overhead(graph, untraced * known.steps_per_call) if untraced < steady else graph
        pace = steady_ms(fitted) / known.steps_per_call
        aside = untraced - pace if untraced > pace * (1 + fixed.UNTRACED_APART) else 0.0
        doubt = min(fixed.MOST_DOUBT, max(fixed.FINEST, abs(error), abs(untraced / pace - 1) / 2, known.repeats_within))
        drift = (untraced - aside) / pace
        shared = sharings(fitted, known, untraced * known.steps_per_call)
        over = known.name or TRACED
        usual = min(known.usual_step_ms or 0.0, untraced) / pace if aside else 1.0
        return cls(
            fitted,
            known.steps_per_call,
            untraced,
            drift,
            pace * drift,
            aside,
            error,
            doubt,
            over,
            shared,
            slower=max(1.0, usual),
        )

    def prediction(self, change: Change) -> Prediction | None:
        """Predict one change: as expected, at both ends of its range, and at most; None where no time is left."""
        unseen = 0.0 if change.in_some_steps else self.aside_ms
        utmost = change.utmost or change.alter
        alters = (change.alter, change.least, change.most, utmost)
        traced_ms = {alter: self._step_ms(alter) for alter in dict.fromkeys(filter(None, alters))}
        slower = 1.0 if change.in_some_steps else self.slower
        expected = traced_ms[change.alter] * slower + max(0.0, unseen - (slower - 1) * self.pace_ms)
        seen = [traced_ms[alter] for alter in (change.alter, change.least, change.most) if alter is not None]
        seen += [self._step_ms(change.alter, sharing) for sharing in self.shared[1:]]
        if (self.graph.reason == Edge.ORDER).any():
            seen.append(self._step_ms(lambda graph: change.alter(graph.without(Edge.ORDER))))
        ends = [end for step in seen for end in (step + unseen, step * (1 + self.aside_ms / self.pace_ms))]
        # The work that the change leaves is as unsure as the rest: so is "at most", which no prediction exceeds.
        bound = min(*ends, traced_ms[utmost] + unseen) * (1 - self.doubt)
        low, high = min(ends) * (1 - self.doubt), max(ends) * (1 + self.doubt)
        if bound <= 0:
            return None
        now = self.step_ms * change.samples
        return Prediction(
            change=change.id,
            step_ms=expected,
            low_ms=low,
            high_ms=high,
            gain=Gain(ratio=now / expected, low=now / high, high=now / low, over=self.over),
            bound=now / bound,
            replay_error_fraction=self.error,
            assumption=change.assumption,
        )

    def after(self, alter: Alter) -> tuple[float, Graph]:
        """Return the share (0 to 1) of the calls that are most frequent after a change, and their graph."""
        altered = alter(self._relieved(next(iter(self.shared), None)))
        return max(altered, key=lambda part: part[0]) if isinstance(altered, tuple) else (1.0, altered)

    def _step_ms(self, alter: Alter, sharing: Sharing | None = None) -> float:
        """Return the traced part of a step in ms, after a change, on cores shared as expected, or as `sharing` says."""
        sharing = sharing or next(iter(self.shared), None)
        return mixture_ms(alter(self._relieved(sharing)), sharing) / self.per_call * self.drift

    def _relieved(self, sharing: Sharing | None) -> Graph:
        return sharing.relieved(self.graph) if sharing else self.graph


def _without_overhead(graph: Graph, call_ms: float) -> Graph:
    """Return the graph with its host sped up so that the step takes the given time, as nearly as possible."""
    host = graph.does(Work.CALL, Work.DISPATCH, Work.LAUNCH)
    low, high = fixed.PROFILER_SLOWS, 1.0
    if steady_ms(graph.scaled(host, low)) > call_ms:
        return graph
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if steady_ms(graph.scaled(host, middle)) < call_ms else (low, middle)
    return replace(graph, us=graph.scaled(host, high).us)
