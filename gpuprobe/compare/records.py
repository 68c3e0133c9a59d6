"""The records of a comparison: the two sides as they lie on disk, and what `gpuprobe compare --json` prints.

Schema history
1  first version
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.ranking.rates import Interval, RunRate
from gpuprobe.records import Confidence, Environment, Record, Settings, Signal

COMPARISON_SCHEMA = 1

Kind = Literal["study", "run", "watch", "trace", "readings"]
SpeedChange = Literal["faster", "slower", "tie", "unknown"]


class Cause(Record, frozen=True, kw_only=True):
    """The primary cause of a diagnosis: its confidence, and its `severity`, a share (0 to 1) of the step or the run.

    `stage` names the part that is concerned, such as a stage of the input; empty where the cause has no stages.
    """

    cause: str
    confidence: Confidence
    stage: str = ""
    severity: float = 0.0
    of: Literal["step", "run"] = "step"


class Measured(Record, frozen=True, kw_only=True):
    """One strategy of one side: its rates by round in `rate_unit`, and what else is known of it.

    `choices` are the options of the run beside its settings, and what `fit` was given. `why_no_rate` is the reason
    where `rates` is empty. `until_steady_s` is the mean time of its runs until their steps were steady, in s by part.
    For a watched training `cause` is the cause that its diagnosis names, `causes` all that it found, and `run_ms` the
    wall time of the run for each of its steps, in ms by part, without parts that occur once.
    """

    strategy: str
    rates: dict[int, RunRate]
    rate_unit: str = "samples/s"
    why_no_rate: str = ""
    settings: Settings | None = None
    choices: dict[str, str] = msgspec.field(default_factory=dict)
    # Under the name that older versions saved it by.
    breakdown: DeviceBreakdown | None = msgspec.field(default=None, name="account")
    telemetry: tuple[Signal, ...] = ()
    until_steady_s: dict[str, float] = msgspec.field(default_factory=dict)
    cause: Cause | None = None
    causes: tuple[str, ...] = ()
    run_ms: dict[str, float] = msgspec.field(default_factory=dict)


class Side(Record, frozen=True, kw_only=True):
    """One of the two recordings that are compared. A fact that its kind does not hold is None, or missing in `work`.

    `work` is what was computed: model, workload and data. `devices` is the number of devices in a trace; None for other
    kinds. `failed` maps a strategy to how its run failed.
    """

    path: str
    kind: Kind
    measured: tuple[Measured, ...]
    environment: Environment | None = None
    work: dict[str, str] = msgspec.field(default_factory=dict)
    failed: dict[str, str] = msgspec.field(default_factory=dict)
    devices: int | None = None
    notes: tuple[str, ...] = ()

    def of(self, strategy: str) -> Measured | None:
        """Return what was measured of a strategy, None where nothing was."""
        return next((measured for measured in self.measured if measured.strategy == strategy), None)


class Difference(Record, frozen=True, kw_only=True):
    """A value that differs between A and B, as text; `-` where one side does not have it."""

    name: str
    a: str
    b: str


class SignalChange(Record, frozen=True, kw_only=True):
    """A reading that differs: its means in A and in B."""

    name: str
    unit: str
    a: float
    b: float


class CategoryChange(Record, frozen=True, kw_only=True):
    """One category of the traced step, or part of the run: its ms in a mean step, and its share of that (0 to 1)."""

    category: str
    a_ms: float
    b_ms: float
    a_fraction: float
    b_fraction: float

    @property
    def change_ms(self) -> float:
        """How many ms longer it takes in B."""
        return self.b_ms - self.a_ms


class Ledger(Record, frozen=True, kw_only=True):
    """What takes time in a mean step of A and of B, in ms, the largest change first.

    It consists of the categories of the traced step, or of parts of the run's wall time for each step.
    """

    a_step_ms: float
    b_step_ms: float
    changes: tuple[CategoryChange, ...]


class PartChange(Record, frozen=True, kw_only=True):
    """A part of a run before its steps are steady, in s."""

    part: str
    a_s: float
    b_s: float

    @property
    def change_s(self) -> float:
        """How many s longer it takes in B."""
        return self.b_s - self.a_s


class StrategyChange(Record, frozen=True, kw_only=True):
    """One strategy in A and in B. `ratio` is B's rate over A's; above 1, B is faster.

    The interval of `ratio` holds at 95 % for all strategies of the comparison together. `below` says whether the whole
    interval lies below `fail_below`. `why_no_ratio` and `why_no_ledger` give the reason where there is none.
    `until_steady` holds all parts of the runs before their steps are steady, empty unless both recorded them. `a_cause`
    and `b_cause` are the primary causes of watched trainings, and `gone` says that the diagnosis of B does not find A's
    cause. `run` is the wall time of the runs for each step.
    """

    strategy: str
    outcome: SpeedChange
    rate_unit: str
    a_rate: Interval | None = None
    b_rate: Interval | None = None
    ratio: Interval | None = None
    why_no_ratio: str = ""
    below: bool | None = None
    ledger: Ledger | None = None
    why_no_ledger: str = ""
    settings: tuple[Difference, ...] = ()
    telemetry: tuple[SignalChange, ...] = ()
    until_steady: tuple[PartChange, ...] = ()
    a_cause: Cause | None = None
    b_cause: Cause | None = None
    gone: bool = False
    run: Ledger | None = None


class Comparison(Record, frozen=True, kw_only=True):
    """A and B side by side.

    `forced` holds the reasons against the comparison that --force overrode, `not_checked` the facts that A or B does
    not record.

    `only_a` and `only_b` are strategies that the other side did not measure; `failed_in_b` those that A measured and
    that failed in B.
    """

    schema: int = COMPARISON_SCHEMA
    a: str
    b: str
    a_kind: Kind
    b_kind: Kind
    simulated: bool
    fail_below: float | None
    strategies: tuple[StrategyChange, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    failed_in_b: dict[str, str] = msgspec.field(default_factory=dict)
    environment: tuple[Difference, ...] = ()
    forced: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether `fail_below` was given and not kept: a ratio is below it, or a strategy of A fails in B."""
        slower = any(change.below for change in self.strategies)
        return self.fail_below is not None and (slower or bool(self.failed_in_b))
