"""Joins what each kind of evidence says into one diagnosis: one primary cause, and how sure it is.

Each kind has a vote: its own findings. If another kind names the same primary cause the confidence is one step higher;
if it names one of another family, the diagnosis says so and lowers it. One of the same family neither confirms it nor
disputes it, and a vote with low confidence is only mentioned. A cause that goes away when the primary one is fixed is
marked as its symptom. The severities of causes that exclude each other add up to at most the whole step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.agreement import AUTHORITY, Vote, agreement, why_missing
from gpuprobe.diagnosis.causes import CATALOGUE, CAUSES, same_family
from gpuprobe.diagnosis.confidence import HIGHER, LOWER
from gpuprobe.diagnosis.gains import saved_share
from gpuprobe.diagnosis.merge import left_of_step, merged
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.records import Confidence, Record
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.rules.rule import Decided
    from gpuprobe.whatif.records import Replay

# Causes about which a trace leaves nothing for telemetry to say.
DECIDED_BY_TRACE: frozenset[CauseId] = frozenset(cause.id for cause in CATALOGUE if cause.decided_by_trace)


class Joined(Record, frozen=True, kw_only=True):
    """All findings, the primary one first; what could not be decided; and how far the kinds of evidence agree.

    `disputed` says that a kind with more than low confidence names another cause.
    """

    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    agreement: str = ""
    disputed: bool = False

    @property
    def primary(self) -> Finding | None:
        """The primary finding, None where nothing could be decided."""
        return next((finding for finding in self.findings if finding.primary), None)


def join(
    votes: Sequence[Vote],
    conditions: Decided = ((), ()),
    limits: Thresholds = DEFAULTS,
    replay: Replay | None = None,
    unattributed: float = 0.0,
) -> Joined:
    """Join the votes, in any order, into one diagnosis.

    `conditions` are the findings, and the rules not evaluated, of the rules that look at all evidence together
    (`card_and_settings`, `gpu_state`). The `replay` of the trace tells what the remedy of each cause would save.
    `unattributed` is the share of the step (0 to 1) that the trace leaves unexplained.
    """
    ranked = sorted(votes, key=lambda vote: AUTHORITY.index(vote.kind))
    findings = merged(_without_decided_hints(ranked), conditions[0])
    undecided = _undecided([*(vote.not_evaluated for vote in ranked), conditions[1]], findings)
    leader = next((vote for vote in ranked if vote.primary is not None), None)
    if leader is None or leader.primary is None:
        return Joined(findings=_unknown(findings), not_evaluated=undecided, agreement=why_missing(ranked))
    tied = _tied_that_saves_more(leader.primary, findings, limits, replay)
    cause = tied or leader.primary.cause
    root = _root(findings, cause, limits, replay)
    others = [vote for vote in ranked if vote is not leader]
    # A vote with low confidence is mentioned, but neither raises nor lowers another.
    counted = [(vote, vote.primary.cause) for vote in others if vote.primary and vote.primary.confidence != "low"]
    agreeing = [vote for vote, named in counted if named == cause]
    doubts = [vote for vote, named in counted if not same_family(named, cause)]
    if leader.primary.confidence == "low" and not agreeing:
        unknown = _unknown(findings, leader, unattributed)
        return Joined(findings=unknown, not_evaluated=undecided, agreement=why_missing(ranked))
    shown = next(finding for finding in findings if finding.cause == cause)
    confidence = _confidence(root, (), doubts) if root else _confidence(leader.primary, agreeing, doubts)
    ties_with = None if root or tied else leader.primary.ties_with
    primary = msgspec.structs.replace(root or shown, primary=True, confidence=confidence, ties_with=ties_with)
    named = {primary.cause, "unattributed"}
    return Joined(
        findings=(
            primary,
            *(_not_primary(finding, primary.cause) for finding in findings if finding.cause not in named),
        ),
        not_evaluated=undecided,
        agreement=agreement(leader, agreeing, others),
        disputed=bool(doubts),
    )


def _tied_that_saves_more(
    first: Finding, findings: Sequence[Finding], limits: Thresholds, replay: Replay | None
) -> CauseId | None:
    """Return the cause that ties with the first if its remedy saves clearly more in the replay; else None.

    Of two causes with the same share, one may be hidden behind the other: curing it then leaves the step as long. A
    cause whose share is too small for a finding may tie too, but never leads.
    """
    if replay is None or first.ties_with not in {finding.cause for finding in findings}:
        return None
    saved, saved_by_tied = saved_share(replay, first.cause), saved_share(replay, first.ties_with)
    if saved is None or saved_by_tied is None or "compute_bound" in {first.cause, first.ties_with}:
        return None
    return first.ties_with if saved_by_tied - saved >= limits.tie_points else None


def _root(findings: Sequence[Finding], cause: CauseId, limits: Thresholds, replay: Replay | None) -> Finding | None:
    """Return the most severe sure cause behind the visible one, or the cause behind that; None where there is none."""
    shown = max(
        (finding.severity for finding in findings if finding.cause == cause and CAUSES[cause].root_is_most), default=0.0
    )
    least = max(limits.root_share, limits.mostly * shown)
    sure = [
        finding
        for finding in findings
        if finding.cause in CAUSES[cause].roots and finding.confidence == "high" and _cost(finding, replay) >= least
    ]
    root = max(sure, key=lambda finding: finding.severity, default=None)
    return (_root(findings, root.cause, limits, replay) or root) if root else None


def _cost(finding: Finding, replay: Replay | None) -> float:
    """Return the share of the step that curing a cause saves: in the replay, else its severity.

    Shorter kernels, for example, save nothing where the launches limit the step next.
    """
    saved = saved_share(replay, finding.cause) if replay and CAUSES[finding.cause].weighed else None
    return finding.severity if saved is None else saved


def _without_decided_hints(votes: Sequence[Vote]) -> list[Sequence[Finding]]:
    """Return each vote's findings, without hints of telemetry at causes that a trace has decided against."""
    sure = next((vote for vote in votes if vote.kind == "trace" and vote.primary), None)
    decided = DECIDED_BY_TRACE if sure and sure.primary and sure.primary.confidence != "low" else frozenset()
    named = {finding.cause for finding in sure.findings} if sure else set()
    return [
        [finding for finding in vote.findings if vote.kind != "telemetry" or finding.cause not in decided - named]
        for vote in votes
    ]


def _unknown(findings: Sequence[Finding], hint: Vote | None = None, unattributed: float = 0.0) -> tuple[Finding, ...]:
    """Return the findings led by `unattributed`, where there is one or a `hint` is not sure enough to lead."""
    first = next((finding for finding in findings if finding.cause == "unattributed"), None)
    if hint is not None and hint.primary is not None:
        stage = f" ({hint.primary.stage})" if hint.primary.stage else ""
        first = Finding(
            cause="unattributed",
            primary=True,
            severity=min(unattributed, left_of_step(known for known in findings if known.cause != "unattributed")),
            confidence="low",
            claim=f"The evidence is too weak to name the cause; the {hint.kind} may point to "
            f"{hint.primary.cause}{stage}. {hint.primary.claim}",
            evidence=hint.primary.evidence,
            fix=CAUSES["unattributed"].fix,
        )
    rest = tuple(_not_primary(finding, None) for finding in findings if finding.cause != "unattributed")
    return rest if first is None else (msgspec.structs.replace(first, primary=True), *rest)


def _undecided(groups: Sequence[Sequence[NotEvaluated]], findings: Sequence[Finding]) -> tuple[NotEvaluated, ...]:
    """Return the first reason for each cause without a finding that some kind of evidence could not decide."""
    known = {finding.cause for finding in findings}
    reasons: dict[CauseId, NotEvaluated] = {}
    for group in groups:
        for reason in group:
            if reason.cause not in known:
                reasons.setdefault(reason.cause, reason)
    return tuple(reasons.values())


def _not_primary(finding: Finding, primary: CauseId | None) -> Finding:
    is_symptom = primary and (finding.cause in CAUSES[primary].symptoms or primary in CAUSES[finding.cause].roots)
    return msgspec.structs.replace(finding, primary=False, ties_with=None, symptom_of=primary if is_symptom else None)


def _confidence(own: Finding, agreeing: Sequence[Vote], against: Sequence[Vote]) -> Confidence:
    if against:
        return LOWER[own.confidence]
    # Agreement of other kinds does not tell the cause from the one that it ties with.
    return HIGHER[own.confidence] if agreeing and not own.ties_with else own.confidence
