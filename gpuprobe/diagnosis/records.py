"""The records of a diagnosis: its findings, what it could not decide, and the whole of it."""

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
    # A file of a later version may name a cause that this one does not know: it is read, and shown as it is named.
    CauseId = str


class Finding(Record, frozen=True, kw_only=True):
    """One cause, as the report prints it; exactly one is `primary`.

    `severity` is the share of the wall time of a step that the cause explains (0 to 1): of the step of the training
    that is diagnosed, as the first kind of evidence that names the cause saw it. Those of the causes that take time
    from each other add up to at most 1. Each gain says what it is over; `no_gain` is why none is predicted, where that
    is known. Where it is `of` the run, it is the share of the whole run without what comes once.
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
    """A rule that could not be decided, and the signal that was missing."""

    cause: CauseId
    reason: str


class Diagnosis(TraceBreakdown, frozen=True, kw_only=True):
    """A breakdown, what it proves, and what it cannot tell. The primary finding comes first.

    `telemetry` are the readings of the same time, where there are any. `agreement` says how far trace and telemetry
    agree, `disputed` that they name different causes. `replay` is the trace played again with each change; `what_if`
    holds the gain of each in short, as the ratio of samples per second then and now. `meters` say how busy the GPU was,
    each in its own way. `whole_run` is where the run's wall time went, where its phases were recorded.
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
        """The finding that leads; `unattributed` where nothing could be decided, None in no diagnosis of ours."""
        return next((finding for finding in self.findings if finding.primary), None)

    @property
    def undecided(self) -> bool:
        """Whether nothing points to any cause: not even a hint stands behind the primary finding."""
        first = self.primary
        return first is None or (
            first.cause == "unattributed" and all(signal.name == "share.unattributed" for signal in first.evidence)
        )
