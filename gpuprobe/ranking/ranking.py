"""The `Ranking`: what a study's runs say about its strategies, as the report and `report.json` give it.

Schema history
1  first version
2  the marks of a row are records with a kind, no longer sentences alone
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.ranking.compared import Beyond
from gpuprobe.ranking.rates import Interval
from gpuprobe.ranking.restless import Restless
from gpuprobe.ranking.scaling import Scaling
from gpuprobe.records import SCHEMA, Gain, Record, Settings, Signal, State
from gpuprobe.whatif.records import Prediction

RANKING_SCHEMA = 2


MarkKind = Literal["unstable", "loss", "drift"]


class Mark(Record, frozen=True, kw_only=True):
    """Why a row is to be read with care: its rate is `unstable`, its `loss` differs, or its gain is `drift`."""

    kind: MarkKind
    words: str


class Row(Record, frozen=True, kw_only=True):
    """One strategy that was measured to the end at least once.

    `gain` is how many times as fast it is as `against`, `speedup` as the study's baseline; `input_share` the share of
    its time that would go if the data lay on the device. Their intervals are those of each alone; `joint_gain` and
    `joint_input_share` have ones that hold for all comparisons together. `beyond` and `beyond_baseline` say whether the
    two ratios differ from 1 beyond the noise of them all.
    `breakdown` is that of the device that did most in its trace.
    `telemetry` holds the signals of its timed windows, averaged over the rounds; `meters` say how busy the GPU was.
    `warmup_s` is what the first call and the calls until steady took; `first_call_s` of it the first, which traces and
    compiles.
    """

    rank: int
    strategy: str
    sentence: str
    change: str
    against: str | None
    samples_per_s: Interval
    epoch_s: Interval | None
    settings: Settings
    gain: Interval | None = None
    beyond: Beyond = ""
    speedup: Interval | None = None
    beyond_baseline: Beyond = ""
    joint_gain: Interval | None = None
    input_share: Interval | None = None
    joint_input_share: Interval | None = None
    # Under the name that older versions saved it by.
    breakdown: DeviceBreakdown | None = msgspec.field(default=None, name="account")
    telemetry: tuple[Signal, ...] = ()
    meters: tuple[Signal, ...] = ()
    energy_j_per_sample: float | None = None
    host_peak_mib: float | None = None
    device_peak_mib: float | None = None
    warmup_s: float = 0.0
    first_call_s: float = 0.0
    profiler_slowdown: float | None = None
    combines: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()

    def signal(self, name: str) -> Signal | None:
        """Return one of the telemetry's signals by name."""
        return next((signal for signal in self.telemetry if signal.name == name), None)

    def marked(self, kind: MarkKind) -> Mark | None:
        """Return the row's mark of that kind, None where it has none."""
        return next((mark for mark in self.marks if mark.kind == kind), None)

    @property
    def gained(self) -> bool:
        """Whether it is faster than what it changes, beyond the noise and not by drift."""
        return self.beyond == "faster" and not self.drift

    @property
    def is_faster(self) -> bool:
        """Whether it is faster than the baseline, beyond the noise and not by drift."""
        return self.beyond_baseline == "faster" and not self.drift

    @property
    def trains_otherwise(self) -> str:
        """How its loss left the others' band, empty where it did not."""
        return self._words("loss")

    @property
    def drift(self) -> str:
        """Why its gain is drift of the machine, empty where it is not."""
        return self._words("drift")

    def _words(self, kind: MarkKind) -> str:
        mark = self.marked(kind)
        return mark.words if mark else ""


class Promise(Record, frozen=True, kw_only=True):
    """What was known of a change before it was tried on top of what a search had kept.

    `foretold` is what a replay of the trace of that says; `hindrance` why it says nothing. `alone` is what the change
    gained in the runs of its own strategy. `by` says which of the two counts, and is empty where neither is known.
    """

    change: str
    foretold: Gain | None = None
    hindrance: str = ""
    alone: Interval | None = None

    @property
    def by(self) -> Literal["trace", "runs", ""]:
        """The evidence that counts: the trace of what is kept, where it tells; else what was measured elsewhere."""
        return "trace" if self.foretold else "runs" if self.alone else ""

    @property
    def ratio(self) -> float:
        """How many times as fast it promises to be; 1 where nothing is known."""
        return self.foretold.ratio if self.foretold else self.alone.value if self.alone else 1.0

    @property
    def most(self) -> float:
        """The upper end of what it promises."""
        if self.foretold:
            return self.foretold.high or self.foretold.ratio
        return self.alone.high if self.alone else 1.0


class SearchStep(Record, frozen=True, kw_only=True):
    """One step of a search: `change` on top of what was kept before it, so that it `combines` all of these.

    `measured_as` names the strategy that is just that, whose runs measured it before; without one, run number `run` of
    the search did. `promise` is why it was chosen. `gain` is how many times as fast it was as what was kept before it,
    `speedup` as the start.
    `kept` is None until it is measured; `reason` says why it was kept or dropped.
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
        """By how much the step time that the trace predicted missed the measured one; None without one of them."""
        foretold = self.promise.foretold
        return self.gain.value / foretold.ratio - 1 if self.gain and foretold else None


class Untried(Record, frozen=True, kw_only=True):
    """A change that a search left alone in the end: what it promised on top of what was kept, and why it was left."""

    promise: Promise
    reason: str


class Search(Record, frozen=True, kw_only=True):
    """How a combining strategy was found, from `start`, step by step: what was decided when, and on which evidence.

    `least_gain` is how many times as fast a run must be here to be so beyond the noise. `left` is what was not tried in
    the end. `final` is the number of the run that measured all that was kept once more, 0 while there is none.
    `following` is what is to be measured next, as number `following_run`; None where the search has ended.
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
        """The changes that were kept, in their order."""
        return tuple(step.change for step in self.steps if step.kept)


class Failure(Record, frozen=True, kw_only=True):
    """A run that did not end well."""

    strategy: str
    round: int
    state: State
    message: str


class Scored(Record, frozen=True, kw_only=True):
    """One change: the gain that was predicted from the trace of `against`, and what `strategy` gained over it.

    Both are ratios of samples per second. `error` is by how much the predicted step time missed the measured one
    (0.1: predicted a tenth too long). `missing` says why there is no prediction.
    """

    strategy: str
    against: str
    change: str
    measured: Interval
    predicted: Gain | None = None
    error: float | None = None
    missing: str | None = None


class Ranking(Record, frozen=True, kw_only=True):
    """All rows, the best rank first, and why the baseline takes the time it takes.

    `failures` went wrong, `skipped` cannot apply to the workload, `not_run` lacked time; `searches` tell how the
    combining strategies were found. `agreement` says how far trace, differential runs and telemetry agree; `disputed`
    that they name different causes. `scorecard` holds the predicted gains beside the measured ones, `predictions` what
    the baseline's trace foretells of each change made to it alone, whether or not a strategy makes it. `resolution` is
    the smallest difference that the study could tell, as a fraction of the rate; `restless` says what hindered it.
    `scaling` is that of a study of several devices.
    """

    schema: int = RANKING_SCHEMA
    study: str
    baseline: str | None
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    skipped: tuple[Failure, ...] = ()
    not_run: tuple[str, ...]
    searches: tuple[Search, ...] = ()
    scaling: Scaling | None = None
    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]
    scorecard: tuple[Scored, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    agreement: str = ""
    disputed: bool = False
    resolution: float | None = None
    restless: Restless = Restless()
    notes: tuple[str, ...]

    def row(self, strategy: str | None) -> Row | None:
        """Return the row of a strategy, None where it was not measured."""
        return next((row for row in self.rows if row.strategy == strategy), None)

    def search(self, strategy: str) -> Search | None:
        """Return the search for a strategy, None where it was not searched for."""
        return next((search for search in self.searches if search.strategy == strategy), None)


class ToldRow(Record, frozen=True, kw_only=True):
    """What the trace of a row's strategy said."""

    strategy: str
    # Under the name that older versions saved it by.
    breakdown: DeviceBreakdown | None = msgspec.field(default=None, name="account")


class Told(Record, frozen=True, kw_only=True):
    """What the traces of a study said, as its `report.json` of any schema has it: a copy without them keeps no more."""

    schema: int = RANKING_SCHEMA
    rows: tuple[ToldRow, ...]
    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]
    scorecard: tuple[Scored, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    agreement: str = ""
    disputed: bool = False
