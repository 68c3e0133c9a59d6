"""The records of a diagnosis: the diagnosis itself, its findings, and the rules that could not be decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from gpuprobe.evidence.whole_run import RunBreakdown
from gpuprobe.ledger.records import TraceBreakdown
from gpuprobe.records import Confidence, Gain, Record, Signal
from gpuprobe.whatif.records import Replay

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId
else:
    # A file of a later version may name a cause that this version does not know: it is read and shown by its name.
    CauseId = str


class Finding(Record, frozen=True, kw_only=True):
    """One cause, as the report prints it; exactly one finding of a diagnosis is `primary`.

    `severity` is the share of the step's wall time that the cause explains (0 to 1), by the best informed kind of
    evidence that names it. For a finding `of` the run, it is a share of the run without the parts that come once. The
    severities of causes that exclude each other add up to at most 1. `ties_with` is a cause of about the same share,
    `symptom_of` the cause whose remedy removes this one too. Each gain says what it is over; `no_gain` is why none is
    predicted, where that is known.
    """

    cause: CauseId
    primary: bool
    severity: float
    confidence: Confidence
    claim: str
    evidence: tuple[Signal, ...]
    fix: str
    stage: str | None = None
    code: str = ""
    ties_with: CauseId | None = None
    symptom_of: CauseId | None = None
    predicted_gain: Gain | None = None
    measured_gain: Gain | None = None
    of: Literal["step", "run"] = "step"
    no_gain: str = ""


class NotEvaluated(Record, frozen=True, kw_only=True):
    """A cause whose rule could not be decided, and the reason, such as a missing signal."""

    cause: CauseId
    reason: str


class Diagnosis(TraceBreakdown, frozen=True, kw_only=True):
    """A breakdown with its findings, the primary one first, and the causes that could not be decided.

    `telemetry` are the readings of the same time. `agreement` says how far the kinds of evidence agree, `disputed` that
    they name different causes. `replay` is the replay of the trace with each change; `what_if` holds the gain of each
    as a ratio of samples per second. `meters` say how busy the GPU was, each in its own way. `whole_run` is the
    breakdown of the run's wall time, where its phases were recorded.
    """

    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    agreement: str = ""
    disputed: bool = False
    telemetry: tuple[Signal, ...] = ()
    replay: Replay | None = None
    what_if: dict[str, Gain] = msgspec.field(default_factory=dict)
    meters: tuple[Signal, ...] = ()
    whole_run: RunBreakdown | None = None

    @property
    def primary(self) -> Finding | None:
        """The primary finding, `unattributed` where nothing could be decided; None only in a file that others wrote."""
        return next((finding for finding in self.findings if finding.primary), None)

    @property
    def undecided(self) -> bool:
        """Whether nothing points to any cause, not even a hint."""
        first = self.primary
        return first is None or (
            first.cause == "unattributed" and all(signal.name == "share.unattributed" for signal in first.evidence)
        )
