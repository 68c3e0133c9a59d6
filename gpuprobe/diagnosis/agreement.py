"""The vote of one kind of evidence, and sentences on how far the kinds agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gpuprobe import wording
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.rules.rule import Decided

Kind = Literal["trace", "run's settings", "differential runs", "clock", "telemetry"]
# The kinds, the best informed first: a trace shows the calls themselves, the settings where they run, differential runs
# only what a change gains, a clock only the time between steps, and telemetry only that the device idled while the host
# did something.
AUTHORITY: tuple[Kind, ...] = ("trace", "run's settings", "differential runs", "clock", "telemetry")
# Kinds with a name in the plural.
PLURAL: frozenset[Kind] = frozenset({"run's settings", "differential runs"})


class Vote(Record, frozen=True, kw_only=True):
    """The findings of one kind of evidence; `missing` is the reason where there is none of this kind."""

    kind: Kind
    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    missing: str | None = None

    @classmethod
    def of(cls, kind: Kind, decided: Decided) -> Vote:
        """Return the vote of a kind of evidence from the result of its rules."""
        return cls(kind=kind, findings=decided[0], not_evaluated=decided[1])

    @property
    def primary(self) -> Finding | None:
        """The primary finding of this kind; None where it names no cause."""
        return next((finding for finding in self.findings if finding.primary and finding.cause != "unattributed"), None)


def agreement(leader: Vote, agreeing: Sequence[Vote], others: Sequence[Vote]) -> str:
    """Say which of the other kinds of evidence agree with the leading one, where the rest points, and why some miss."""
    sentences = []
    if agreeing:
        kinds = wording.listing([f"the {vote.kind}" for vote in (leader, *agreeing)])
        sentences.append(f"{kinds[0].upper()}{kinds[1:]} agree.")
    for vote in others:
        if vote.primary is None or vote in agreeing:
            continue
        points = "point to" if vote.kind in PLURAL else "points to"
        says = "may point to" if vote.primary.confidence == "low" else points
        blind = ", which does not see into a step," if vote.kind == "telemetry" else ""
        sentences.append(f"The {vote.kind}{blind} {says} {vote.primary.cause}.")
    if not sentences:
        sentences.append(f"Only the {leader.kind} could tell.")
    return " ".join([*sentences, *filter(None, [why_missing([vote for vote in others if vote.primary is None])])])


def why_missing(votes: Sequence[Vote]) -> str:
    """Say of each kind of evidence that is missing why it is."""
    return " ".join(f"The {vote.kind}: {vote.missing}." for vote in votes if vote.missing)
