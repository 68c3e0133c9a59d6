"""Joins what each kind of evidence says into one diagnosis: one primary cause, and how sure it is.

Each kind votes with findings of its own. Where two kinds name the same primary cause the confidence is high; where they
differ the diagnosis says so and lowers it. A cause that goes when the primary one is fixed is marked as its symptom.
Of causes that take time from each other the severities add up to at most the whole step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CATALOGUE, CAUSES, same_family
from gpuprobe.diagnosis.gains import saved_share
from gpuprobe.diagnosis.records import Finding, NotEvaluated
from gpuprobe.records import Confidence, Record
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.rules.rule import Decided
    from gpuprobe.whatif.records import Replay

Kind = Literal["trace", "run's settings", "differential runs", "clock", "telemetry"]
# Which kind knows best: a trace sees the calls themselves, the settings where they run, a differential run only what a
# change gains, a clock only what lies between steps, and telemetry only that the device idled while the host did
# something.
AUTHORITY: tuple[Kind, ...] = ("trace", "run's settings", "differential runs", "clock", "telemetry")
# Those that are named in the plural.
PLURAL: frozenset[Kind] = frozenset({"run's settings", "differential runs"})
DECIDED: frozenset[CauseId] = frozenset(cause.id for cause in CATALOGUE if cause.decided_by_trace)
SURE: dict[Confidence, int] = {"high": 2, "medium": 1, "low": 0}
LOWER: dict[Confidence, Confidence] = {"high": "medium", "medium": "low", "low": "low"}


class Vote(Record, frozen=True, kw_only=True):
    """What one kind of evidence says; `missing` is the reason where there was none of its kind."""

    kind: Kind
    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    missing: str | None = None

    @classmethod
    def of(cls, kind: Kind, decided: Decided) -> Vote:
        """Return the vote of a kind of evidence from what its rules decided."""
        return cls(kind=kind, findings=decided[0], not_evaluated=decided[1])

    @property
    def primary(self) -> Finding | None:
        """The vote's own primary finding, None where it names no cause."""
        return next((found for found in self.findings if found.primary and found.cause != "unattributed"), None)


class Joined(Record, frozen=True, kw_only=True):
    """All findings, the primary one first; what could not be decided; and how far the kinds of evidence agree."""

    findings: tuple[Finding, ...] = ()
    not_evaluated: tuple[NotEvaluated, ...] = ()
    agreement: str = ""
    disputed: bool = False

    @property
    def primary(self) -> Finding | None:
        """The primary finding, None where nothing could be decided."""
        return next((found for found in self.findings if found.primary), None)


def join(
    votes: Sequence[Vote],
    conditions: Decided = ((), ()),
    limits: Thresholds = DEFAULTS,
    replay: Replay | None = None,
    unattributed: float = 0.0,
) -> Joined:
    """Join the votes, in any order, into one diagnosis.

    `conditions` are findings on what is true beside the cause, and what could not be decided of those. A `replay` of
    the trace tells of a cause behind another what its remedy would save. `unattributed` is the share of the step that
    the trace leaves unexplained.
    """
    cast = sorted(votes, key=lambda vote: AUTHORITY.index(vote.kind))
    merged = _merged(_telling(cast), conditions[0])
    undecided = _undecided([*(vote.not_evaluated for vote in cast), conditions[1]], {found.cause for found in merged})
    leader = next((vote for vote in cast if vote.primary is not None), None)
    if leader is None or leader.primary is None:
        return Joined(findings=_unknown(merged), not_evaluated=undecided, agreement=_silent(cast))
    tied = _gains_more(leader.primary, limits, replay)
    cause = tied or leader.primary.cause
    root = _root(merged, cause, limits, replay)
    others = [vote for vote in cast if vote is not leader]
    agreeing = [vote for vote in others if vote.primary and same_family(vote.primary.cause, cause)]
    against = [vote for vote in others if vote.primary and not same_family(vote.primary.cause, cause)]
    if leader.primary.confidence == "low" and not agreeing:
        return Joined(findings=_unknown(merged, leader, unattributed), not_evaluated=undecided, agreement=_silent(cast))
    # A vote that is itself no more than a hint is told, but does not shake one that rests on more.
    doubts = [vote for vote in against if vote.primary and vote.primary.confidence != "low"]
    primary = msgspec.structs.replace(
        root or next(found for found in merged if found.cause == cause),
        primary=True,
        confidence=_confidence(root, (), doubts) if root else _confidence(leader.primary, agreeing, doubts),
        ties_with=None if root or tied else leader.primary.ties_with,
    )
    named = {primary.cause, "unattributed"}
    rest = tuple(_beside(found, primary.cause) for found in merged if found.cause not in named)
    return Joined(
        findings=(primary, *rest),
        not_evaluated=undecided,
        agreement=_agreement(leader, agreeing, against, [vote for vote in others if vote.primary is None]),
        disputed=bool(doubts),
    )


def _gains_more(first: Finding, limits: Thresholds, replay: Replay | None) -> CauseId | None:
    """Return the cause that ties with the first where the replay tells the two apart, and for the other; else None.

    What takes as much of the step as another may lie in its shadow: without it the step is as long as before.
    """
    if replay is None or first.ties_with is None:
        return None
    saved, instead = saved_share(replay, first.cause), saved_share(replay, first.ties_with)
    if saved is None or instead is None or first.cause == "compute_bound" or first.ties_with == "compute_bound":
        return None
    return first.ties_with if instead - saved >= limits.tie_points else None


def _root(merged: Sequence[Finding], cause: CauseId, limits: Thresholds, replay: Replay | None) -> Finding | None:
    """Return the surest and largest cause that lies behind the one that shows, None where there is none."""
    shown = max(
        (found.severity for found in merged if found.cause == cause and CAUSES[cause].root_is_most), default=0.0
    )
    least = max(limits.root_share, limits.mostly * shown)
    sure = [
        found
        for found in merged
        if found.cause in CAUSES[cause].roots and found.confidence == "high" and _cost(found, replay) >= least
    ]
    root = max(sure, key=lambda found: found.severity, default=None)
    return (_root(merged, root.cause, limits, replay) or root) if root else None


def _cost(found: Finding, replay: Replay | None) -> float:
    """Return the share of the step that goes with a cause: what its remedy saves in the replay, else its severity.

    Kernels made shorter save nothing where the launches behind them are next to limit the step.
    """
    saved = saved_share(replay, found.cause) if replay and CAUSES[found.cause].weighed else None
    return found.severity if saved is None else saved


def _telling(cast: Sequence[Vote]) -> list[Sequence[Finding]]:
    """Return each vote's findings, without the hints of telemetry that a trace has decided."""
    sure = next((vote for vote in cast if vote.kind == "trace" and vote.primary), None)
    decided = DECIDED if sure and sure.primary and sure.primary.confidence != "low" else frozenset()
    named = {found.cause for found in sure.findings} if sure else set()
    return [
        [found for found in vote.findings if vote.kind != "telemetry" or found.cause not in decided - named]
        for vote in cast
    ]


def _unknown(merged: Sequence[Finding], hint: Vote | None = None, unattributed: float = 0.0) -> tuple[Finding, ...]:
    """Return what there is, led by `unattributed` where something was seen and nothing is sure enough to stand on."""
    first = next((found for found in merged if found.cause == "unattributed"), None)
    if hint is not None and hint.primary is not None:
        stage = f" ({hint.primary.stage})" if hint.primary.stage else ""
        first = Finding(
            cause="unattributed",
            primary=True,
            severity=min(unattributed, _left(found for found in merged if found.cause != "unattributed")),
            confidence="low",
            claim=f"What is known does not tell the cause; the {hint.kind} may point to {hint.primary.cause}{stage}. "
            f"{hint.primary.claim}",
            evidence=hint.primary.evidence,
            fix=CAUSES["unattributed"].fix,
        )
    rest = tuple(_beside(found, None) for found in merged if found.cause != "unattributed")
    return rest if first is None else (msgspec.structs.replace(first, primary=True), *rest)


def within_a_step(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with no more than one step among the causes that take time from each other.

    Kinds of evidence that see different steps may give them more: then the first has its share, and those after it what
    is left. Conditions lie across the step, and are none of these.
    """
    kept: list[Finding] = []
    for found in findings:
        severity = min(found.severity, _left(kept)) if CAUSES[found.cause].exclusive else found.severity
        kept.append(msgspec.structs.replace(found, severity=severity))
    return kept


def _left(findings: Iterable[Finding]) -> float:
    """Return the share of the step that is left of it by the causes that take time from each other."""
    return max(0.0, 1 - sum(found.severity for found in findings if CAUSES[found.cause].exclusive))


def _merged(votes: Sequence[Sequence[Finding]], conditions: Sequence[Finding]) -> list[Finding]:
    """Return one finding a cause, with the evidence and the gains of all that name it.

    The words and the share are those of the first kind that is more than a hint: of the step-time breakdown where a
    trace tells. A condition rests on all evidence together, so that it may be surer, or as sure and larger.
    """
    by_cause: dict[CauseId, Finding] = {}
    for found in (found for vote in votes for found in vote):
        known = by_cause.get(found.cause)
        if known is None or known.confidence == "low" != found.confidence:
            by_cause[found.cause] = _both(found, known)
        else:
            by_cause[found.cause] = _both(known, found)
    by_cause = {found.cause: found for found in within_a_step([*by_cause.values()])}
    for found in conditions:
        known = by_cause.get(found.cause)
        if known is None or _strength(found) > _strength(known):
            by_cause[found.cause] = _both(found, known)
        else:
            by_cause[found.cause] = _both(known, found)
    return sorted(by_cause.values(), key=lambda found: (CAUSES[found.cause].condition, -found.severity))


def _strength(found: Finding) -> tuple[int, float]:
    return SURE[found.confidence], found.severity


def _both(told: Finding, other: Finding | None) -> Finding:
    """Return a finding in its own words, with what another on the same cause adds; not primary yet."""
    if other is None:
        return msgspec.structs.replace(told, primary=False)
    names = {signal.name for signal in told.evidence}
    return msgspec.structs.replace(
        told,
        primary=False,
        confidence=max(told.confidence, other.confidence, key=lambda confidence: SURE[confidence]),
        evidence=(*told.evidence, *(signal for signal in other.evidence if signal.name not in names)),
        stage=told.stage or other.stage,
        code=told.code or other.code,
        predicted_gain=told.predicted_gain or other.predicted_gain,
        measured_gain=told.measured_gain or other.measured_gain,
    )


def _undecided(groups: Sequence[Sequence[NotEvaluated]], known: set[CauseId]) -> tuple[NotEvaluated, ...]:
    reasons: dict[CauseId, NotEvaluated] = {}
    for group in groups:
        for reason in group:
            if reason.cause not in known:
                reasons.setdefault(reason.cause, reason)
    return tuple(reasons.values())


def _beside(found: Finding, primary: CauseId | None) -> Finding:
    behind = primary and (found.cause in CAUSES[primary].symptoms or primary in CAUSES[found.cause].roots)
    symptom = primary if behind else None
    return msgspec.structs.replace(found, primary=False, ties_with=None, symptom_of=symptom)


def _confidence(own: Finding, agreeing: Sequence[Vote], against: Sequence[Vote]) -> Confidence:
    if against:
        return LOWER[own.confidence]
    # That others see it too does not tell it from what it ties with.
    return "high" if agreeing and not own.ties_with else own.confidence


def _agreement(leader: Vote, agreeing: Sequence[Vote], against: Sequence[Vote], silent: Sequence[Vote]) -> str:
    sentences = []
    if agreeing:
        kinds = wording.listing([f"the {vote.kind}" for vote in (leader, *agreeing)])
        sentences.append(f"{kinds[0].upper()}{kinds[1:]} agree.")
    for vote in against:
        assert vote.primary is not None
        sure = "point to" if vote.kind in PLURAL else "points to"
        says = "may point to" if vote.primary.confidence == "low" else sure
        blind = ", which does not see into a step," if vote.kind == "telemetry" else ""
        sentences.append(f"The {vote.kind}{blind} {says} {vote.primary.cause}.")
    if not agreeing and not against:
        sentences.append(f"Only the {leader.kind} could tell.")
    sentences += [f"The {vote.kind}: {vote.missing}." for vote in silent if vote.missing]
    return " ".join(sentences)


def _silent(cast: Sequence[Vote]) -> str:
    return " ".join(f"The {vote.kind}: {vote.missing}." for vote in cast if vote.missing)
