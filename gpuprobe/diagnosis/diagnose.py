"""The one way to a diagnosis: whatever evidence there is of a training, a `Case`, becomes one `Diagnosis`.

`gpuprobe diagnose`, `run`, `watch`, the Probe and notebooks differ only in which evidence they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.advice.give import advised
from gpuprobe.diagnosis.between import told_apart
from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.doubts import doubted
from gpuprobe.diagnosis.hidden import with_sync
from gpuprobe.diagnosis.join import join
from gpuprobe.diagnosis.pace import paced
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.diagnosis.rules import card_and_settings, gpu_state
from gpuprobe.diagnosis.rules.again import recurring
from gpuprobe.diagnosis.rules.recurrent import with_loop
from gpuprobe.diagnosis.rules.unpaced import explained
from gpuprobe.diagnosis.votes import NO_STEP, votes_of
from gpuprobe.diagnosis.whole_run import with_whole_run
from gpuprobe.evidence import card
from gpuprobe.evidence.breakdown import evidence_of, main_device
from gpuprobe.evidence.meters import meters
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.join import Vote
    from gpuprobe.ledger.records import TraceBreakdown

UNREAD = (
    "No readings of the GPU were taken: whether heat, its power limit or another program makes its kernels longer "
    "cannot be told."
)


def diagnose(case: Case, limits: Thresholds = DEFAULTS) -> Diagnosis:
    """Join what each kind of evidence says of a training into one diagnosis; exactly one finding is primary."""
    breakdown, replay = case.breakdown, case.replay
    window = Evidence(signals=case.settings).get("window_call_ms")
    traced = recurring(explained(evidence_of(breakdown), limits), window, limits)
    seen = case.readings.signals if case.readings else ()
    known = _known(case, traced)
    votes = votes_of(case, traced, limits)
    beside = card_and_settings if breakdown.devices or case.settings else gpu_state
    unknown = traced.number("share.unattributed") or 0.0
    joined = join(votes, beside.decide(known, limits), limits, replay, unknown)
    findings = joined.findings if joined.primary else (_unattributed(case, votes, traced), *joined.findings)
    findings = told_apart(with_sync(doubted(findings, case, known, limits), known, limits, replay), known)
    findings = with_loop(findings, known, limits)
    findings = advised(findings if seen else tuple(map(_unread, findings)), known, limits, replay)
    fields = {name: getattr(breakdown, name) for name in breakdown.__struct_fields__}
    made = Diagnosis(
        **fields,
        findings=paced(findings, known, limits) if breakdown.devices else findings,
        not_evaluated=joined.not_evaluated,
        agreement=joined.agreement if case.readings or case.compared else "",
        disputed=joined.disputed,
        telemetry=tuple(signal for signal in seen if signal.value is not None),
        replay=replay,
        what_if={made.change: made.gain for made in replay.predictions} if replay else {},
        meters=meters(known.get("utilization_percent"), main_device(breakdown), known.get("mfu")),
    )
    return with_whole_run(made, case.whole_run, limits, known.only("data_kind"))


def _known(case: Case, traced: Evidence) -> Evidence:
    """Gather all signals; where two have a name, the first counts: what was measured of the run before tables."""
    seen = case.readings.signals if case.readings else ()
    compared = case.compared.signals if case.compared else ()
    # Of a trace that was asked for in vain: nobody need be told to take one.
    tried = (Signal(name="no_trace", unit="", source="recording", value=case.no_trace),) if case.no_trace else ()
    return Evidence(signals=(*traced.signals, *case.settings, *_card(case.breakdown), *seen, *compared, *tried))


def _unattributed(case: Case, votes: Sequence[Vote], traced: Evidence) -> Finding:
    """Say that nothing tells the cause, and why: some finding is always primary."""
    breakdown = case.breakdown
    undecided = [other.reason for vote in votes for other in vote.not_evaluated if other.cause == "compute_bound"]
    tried = f" ({case.no_trace})" if case.no_trace else ""
    if breakdown.devices or breakdown.format == UNTRACED.format:
        reasons = [] if breakdown.devices else [f"there is no trace that tells{tried}"]
        claim = f"What limits the training is not known: {', and '.join([*reasons, *undecided[:1]])}."
    else:
        claim = f"There is no step to account for: {breakdown.warnings[-1] if breakdown.warnings else NO_STEP}."
    return Finding(
        cause="unattributed",
        primary=True,
        severity=traced.number("share.unattributed") or 0.0,
        confidence="low",
        claim=claim,
        evidence=traced.only("share.unattributed"),
        fix=CAUSES["unattributed"].fix,
    )


def _unread(found: Finding) -> Finding:
    """Say of a GPU that is full what only its readings could tell."""
    by_trace = any(signal.name == "kernel_fraction" for signal in found.evidence)
    if found.cause != "compute_bound" or not found.primary or not by_trace:
        return found
    return msgspec.structs.replace(found, claim=f"{found.claim} {UNREAD}")


def _card(breakdown: TraceBreakdown) -> tuple[Signal, ...]:
    """What the trace itself tells of the card; a run's own record comes first where there is one."""
    device = main_device(breakdown)
    if device is None or device.kind == "cpu":
        return card.card_signals("")
    capability = device.facts.get("compute_capability")
    told = f"{capability:.1f}" if isinstance(capability, float) else ""
    return card.card_signals(device.model or "", compute_capability=told)
