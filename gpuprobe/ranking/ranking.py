"""The `Ranking`: the results of a study's strategies, as in the report and `report.json`.

Schema history
1  first version
2  the marks of a row are records with a kind, no longer sentences alone
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.ranking.comparisons import Beyond
from gpuprobe.ranking.disturbances import Disturbances
from gpuprobe.ranking.rates import Interval
from gpuprobe.ranking.scaling import Scaling
from gpuprobe.ranking.search_records import Search
from gpuprobe.records import Gain, Record, Settings, Signal, State
from gpuprobe.whatif.records import Prediction

RANKING_SCHEMA = 2


MarkKind = Literal["unstable", "loss", "drift"]


class Mark(Record, frozen=True, kw_only=True):
    """A warning on a row: its rate is `unstable`, its `loss` differs, or its gain is `drift`."""

    kind: MarkKind
    words: str


class Row(Record, frozen=True, kw_only=True):
    """One strategy with at least one finished run.

    `gain` is its speed-up over `against`, `speedup` that over the study's baseline. `input_share` is the share of its
    time (0 to 1) that it would save with its data on the device. Their 95 % intervals are each for one comparison;
    those of `joint_gain` and `joint_input_share` hold for all comparisons of the study together. `beyond` and
    `beyond_baseline` say whether `gain` and `speedup` differ from 1 beyond the noise of all comparisons; `ties_with`
    names the strategies from which it does not differ so. `breakdown` is that of the busiest device in its trace.
    `telemetry` holds the signals of its timed windows, averaged over the rounds; `meters` say how busy the GPU was.
    `warmup_s` is the time of the first call and of the calls until steps are steady; `first_call_s` is that of the
    first call alone, which traces and compiles.
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
    ties_with: tuple[str, ...] = ()
    joint_gain: Interval | None = None
    input_share: Interval | None = None
    joint_input_share: Interval | None = None
    # Saved under the name of older versions.
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
        """Return one of the telemetry's signals by name, None where it has none."""
        return next((signal for signal in self.telemetry if signal.name == name), None)

    def marked(self, kind: MarkKind) -> Mark | None:
        """Return the row's mark of that kind, None where it has none."""
        return next((mark for mark in self.marks if mark.kind == kind), None)

    @property
    def gained(self) -> bool:
        """Whether it is faster than `against`, beyond the noise and not by drift."""
        return self.beyond == "faster" and not self.drift

    @property
    def is_faster(self) -> bool:
        """Whether it is faster than the baseline, beyond the noise and not by drift."""
        return self.beyond_baseline == "faster" and not self.drift

    @property
    def loss_difference(self) -> str:
        """How its loss left the band of the others, empty if it did not."""
        return self._words("loss")

    @property
    def drift(self) -> str:
        """Why its gain is drift of the machine, empty if it is not."""
        return self._words("drift")

    def _words(self, kind: MarkKind) -> str:
        mark = self.marked(kind)
        return mark.words if mark else ""


class Failure(Record, frozen=True, kw_only=True):
    """A run without a rate: it failed, or its strategy was skipped."""

    strategy: str
    round: int
    state: State
    message: str


class Scored(Record, frozen=True, kw_only=True):
    """One change: its gain predicted from the trace of `against`, and the measured gain of `strategy` over it.

    Both are ratios of samples per second. `error` is that of the predicted step time, relative to the measured one
    (0.1: a tenth too long). `missing` is why there is no prediction.
    """

    strategy: str
    against: str
    change: str
    measured: Interval
    predicted: Gain | None = None
    error: float | None = None
    missing: str | None = None


class Ranking(Record, frozen=True, kw_only=True):
    """All rows, the best rank first, and the diagnosis of the baseline.

    `failures` are failed runs, `skipped` strategies that cannot apply to the workload, `not_run` strategies for which
    there was no time, and `searches` the course of each search. `agreement` says how far trace, differential runs and
    telemetry agree; `disputed` is whether they name different causes. `scorecard` compares predicted and measured
    gains; `predictions` are those of the baseline's trace for each single change, whether or not a strategy makes it.
    `resolution` is the smallest difference that the study could detect, as a fraction of the rate; `disturbances` is
    what disturbed it. `scaling` is the result of a study of several devices.
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
    # Saved under the name of older versions.
    disturbances: Disturbances = msgspec.field(default=Disturbances(), name="restless")
    notes: tuple[str, ...]

    @property
    def fastest(self) -> Row | None:
        """The first row with the baseline's loss curve that is faster beyond the noise; None where none is."""
        return next((row for row in self.rows if row.is_faster and not row.loss_difference), None)

    def row(self, strategy: str | None) -> Row | None:
        """Return the row of a strategy, None where it was not measured."""
        return next((row for row in self.rows if row.strategy == strategy), None)

    def search(self, strategy: str) -> Search | None:
        """Return the search for a strategy, None where it was not searched for."""
        return next((search for search in self.searches if search.strategy == strategy), None)


class SharedRow(Record, frozen=True, kw_only=True):
    """The results of the trace of a row's strategy."""

    strategy: str
    # Saved under the name of older versions.
    breakdown: DeviceBreakdown | None = msgspec.field(default=None, name="account")


class SharedResults(Record, frozen=True, kw_only=True):
    """The results of a study's traces in a `report.json` of any schema: all that a shared copy without traces has."""

    schema: int = RANKING_SCHEMA
    rows: tuple[SharedRow, ...]
    scaling: Scaling | None = None
    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]
    scorecard: tuple[Scored, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    agreement: str = ""
    disputed: bool = False
