"""The course of a search for `tuned`: the changes that were tried, and those that were not."""

from __future__ import annotations

from typing import Literal

import msgspec

from gpuprobe.ranking.rates import Interval
from gpuprobe.records import SCHEMA, Gain, Record


class ExpectedGain(Record, frozen=True, kw_only=True):
    """The expected gain of a change, before a search tried it on top of those kept.

    `predicted` is the gain predicted by replaying the trace of the kept run, `missing` why there is no prediction.
    `measured_alone` is the measured gain of the change's own strategy. `by` says which of the two counts, empty where
    neither is known.
    """

    change: str
    # Three fields are saved under the names of older versions.
    predicted: Gain | None = msgspec.field(default=None, name="foretold")
    missing: str = msgspec.field(default="", name="hindrance")
    measured_alone: Interval | None = msgspec.field(default=None, name="alone")

    @property
    def by(self) -> Literal["trace", "runs", ""]:
        """The evidence that counts: the trace's prediction if there is one, else the gain of its own strategy."""
        return "trace" if self.predicted else "runs" if self.measured_alone else ""

    @property
    def ratio(self) -> float:
        """The expected speed-up; 1 where nothing is known."""
        return self.predicted.ratio if self.predicted else self.measured_alone.value if self.measured_alone else 1.0

    @property
    def most(self) -> float:
        """The upper end of the expected speed-up."""
        if self.predicted:
            return self.predicted.high or self.predicted.ratio
        return self.measured_alone.high if self.measured_alone else 1.0


class SearchStep(Record, frozen=True, kw_only=True):
    """One change that a search tries: `change` on top of what was kept before it, so that it `combines` all of these.

    `measured_as` names the strategy of the study with the same changes, whose runs measured it. Where there is none,
    run number `run` of the search did. `expected` is why it was chosen. `gain` is its speed-up over the changes kept
    before, `speedup` that over the start. `kept` is None until it is measured; `reason` says why it was kept or
    dropped.
    """

    change: str
    combines: tuple[str, ...]
    # Saved under the name of older versions.
    expected: ExpectedGain = msgspec.field(name="promise")
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
        predicted = self.expected.predicted
        return self.gain.value / predicted.ratio - 1 if self.gain and predicted else None


class Untried(Record, frozen=True, kw_only=True):
    """A change that a search did not try: its expected gain, and why it was not tried."""

    # Saved under the name of older versions.
    expected: ExpectedGain = msgspec.field(name="promise")
    reason: str


class Search(Record, frozen=True, kw_only=True):
    """The course of a search for a combining strategy, from `start`, change by change, with each decision's evidence.

    `least_gain` is the least speed-up of one more run that is beyond the noise of all tries together. `left` are the
    changes not tried. `final` is the number of the run that measured the kept changes again, 0 while there is none.
    `following` is measured next, as run number `following_run`; None where the search has ended.
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
