"""The course of a search for `tuned`: the changes that were tried, and those that were not."""

from __future__ import annotations

from typing import Literal

from gpuprobe.ranking.rates import Interval
from gpuprobe.records import SCHEMA, Gain, Record


class Promise(Record, frozen=True, kw_only=True):
    """The expected gain of a change, before a search tried it on top of those kept.

    `foretold` is the gain predicted by replaying the trace of the kept run, `hindrance` why there is no prediction.
    `alone` is the measured gain of the change's own strategy. `by` says which of the two counts, empty where neither is
    known.
    """

    change: str
    foretold: Gain | None = None
    hindrance: str = ""
    alone: Interval | None = None

    @property
    def by(self) -> Literal["trace", "runs", ""]:
        """The evidence that counts: the trace's prediction if there is one, else the gain of its own strategy."""
        return "trace" if self.foretold else "runs" if self.alone else ""

    @property
    def ratio(self) -> float:
        """The expected speed-up; 1 where nothing is known."""
        return self.foretold.ratio if self.foretold else self.alone.value if self.alone else 1.0

    @property
    def most(self) -> float:
        """The upper end of the expected speed-up."""
        if self.foretold:
            return self.foretold.high or self.foretold.ratio
        return self.alone.high if self.alone else 1.0


class SearchStep(Record, frozen=True, kw_only=True):
    """One step of a search: `change` on top of what was kept before it, so that it `combines` all of these.

    `measured_as` names the equal strategy of the study whose runs measured it; without one, run number `run` of the
    search did. `promise` is why it was chosen. `gain` is its speed-up over the changes kept before, `speedup` that over
    the start. `kept` is None until it is measured; `reason` says why it was kept or dropped.
    """

    change: str
    combines: tuple[str, ...]
    promise: Promise
    measured_as: str = ""
    run: int = 0
    samples_per_s: Interval | None = None
    gain: Interval | None = None
    speedup: Interval | None = None
    kept: bool | None = None
    reason: str = ""

    @property
    def error(self) -> float | None:
        """The error of the step time predicted by the trace, relative to the measured one; None without either."""
        foretold = self.promise.foretold
        return self.gain.value / foretold.ratio - 1 if self.gain and foretold else None


class Untried(Record, frozen=True, kw_only=True):
    """A change that a search did not try: its expected gain, and why it was not tried."""

    promise: Promise
    reason: str


class Search(Record, frozen=True, kw_only=True):
    """The course of a search for a combining strategy, from `start`, step by step, with the evidence of each decision.

    `least_gain` is the least speed-up that is beyond the noise here. `left` are the changes not tried. `final` is the
    number of the run that measured the kept changes again, 0 while there is none. `following` is measured next, as run
    number `following_run`; None where the search has ended.
    """

    schema: int = SCHEMA
    strategy: str
    start: str
    steps: tuple[SearchStep, ...] = ()
    least_gain: float = 1.0
    left: tuple[Untried, ...] = ()
    final: int = 0
    following: tuple[str, ...] | None = None
    following_run: int = 0

    @property
    def kept(self) -> tuple[str, ...]:
        """The kept changes, in order."""
        return tuple(step.change for step in self.steps if step.kept)
