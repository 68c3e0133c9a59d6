"""The only way to a diagnosis: a `Case`, whatever evidence there is of a training, becomes one `Diagnosis`.

`gpuprobe diagnose`, `run`, `watch`, the Probe and notebooks differ only in which evidence they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.advised import advised
from gpuprobe.diagnosis.between import feeding_told_apart
from gpuprobe.diagnosis.case import UNTRACED
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.doubts import doubted
from gpuprobe.diagnosis.hidden import with_sync
from gpuprobe.diagnosis.join import join
from gpuprobe.diagnosis.pace import paced
from gpuprobe.diagnosis.pace_setter import with_pace_setter
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.diagnosis.rules import card_and_settings, gpu_state
from gpuprobe.diagnosis.rules.again import recurring
from gpuprobe.diagnosis.rules.other_calls import with_other_calls
from gpuprobe.diagnosis.rules.recurrent import with_loop
from gpuprobe.diagnosis.rules.unpaced import without_unpaced_launches
from gpuprobe.diagnosis.unseen import doubted_beside_a_busy_gpu, without_unseen_gpu
from gpuprobe.diagnosis.votes import NO_STEP, votes_of
from gpuprobe.diagnosis.whole_run import with_whole_run
from gpuprobe.evidence import card
from gpuprobe.evidence.breakdown import evidence_of, main_device
from gpuprobe.evidence.meters import meters
from gpuprobe.evidence.run import settings_given
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.agreement import Vote
    from gpuprobe.diagnosis.case import Case
    from gpuprobe.ledger.records import TraceBreakdown

UNREAD = "The GPU was not read meanwhile, so heat, its power limit or another program may make its kernels longer."


def diagnose(case: Case, limits: Thresholds = DEFAULTS) -> Diagnosis:
    """Join what each kind of evidence says about a training into one diagnosis; exactly one finding is primary."""
    case = without_unseen_gpu(case)
    breakdown, replay = case.breakdown, case.replay
    window = Evidence(signals=case.settings).get("window_call_ms")
    traced = recurring(without_unpaced_launches(evidence_of(breakdown), limits), window, limits)
    seen = case.readings.signals if case.readings else ()
    known = _known(case, traced)
    votes = votes_of(case, traced, limits)
    beside = card_and_settings if breakdown.devices or case.settings else gpu_state
    unknown = traced.number("share.unattributed") or 0.0
    joined = join(votes, beside.decide(known, limits), limits, replay, unknown)
    findings = joined.findings if joined.primary else (_unattributed(case, votes, traced), *joined.findings)
    findings = with_pace_setter(findings, known, limits, replay)
    findings = feeding_told_apart(with_sync(doubted(findings, case, known, limits), known, limits, replay), known)
    findings = with_other_calls(with_loop(findings, known, limits), known, limits)
    findings = advised(findings if seen else tuple(map(_with_unread, findings)), known, limits, replay)
    findings = doubted_beside_a_busy_gpu(findings, known, limits)
    fields = {name: getattr(breakdown, name) for name in breakdown.__struct_fields__}
    diagnosis = Diagnosis(
        **fields,
        findings=paced(findings, known, limits) if breakdown.devices else findings,
        not_evaluated=joined.not_evaluated,
        agreement=joined.agreement if case.readings or case.compared else "",
        disputed=joined.disputed,
        telemetry=tuple(signal for signal in seen if signal.value is not None),
        replay=replay,
        what_if={prediction.change: prediction.gain for prediction in replay.predictions} if replay else {},
        meters=meters(known.get("utilization_percent"), main_device(breakdown), known.get("mfu")),
    )
    return with_whole_run(diagnosis, case.whole_run, limits, settings_given(known))


def _known(case: Case, traced: Evidence) -> Evidence:
    """Gather all signals. Where two have the same name the first counts, so measured values come before tables."""
    seen = case.readings.signals if case.readings else ()
    compared = case.compared.signals if case.compared else ()
    # A trace was asked for in vain: the advice need not ask for one.
    no_trace = (Signal(name="no_trace", unit="", source="recording", value=case.no_trace),) if case.no_trace else ()
    return Evidence(
        signals=(*traced.signals, *case.settings, *_card_signals(case.breakdown), *seen, *compared, *no_trace)
    )


def _unattributed(case: Case, votes: Sequence[Vote], traced: Evidence) -> Finding:
    """Return the primary finding where no cause is known, with the reason."""
    breakdown = case.breakdown
    undecided = [rule.reason for vote in votes for rule in vote.not_evaluated if rule.cause == "compute_bound"]
    tried = f" ({case.no_trace})" if case.no_trace else ""
    if breakdown.devices or breakdown.format == UNTRACED.format:
        reasons = [] if breakdown.devices else [f"there is no trace{tried}"]
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


def _with_unread(finding: Finding) -> Finding:
    """Add to a finding that a trace shows a full GPU what only readings could show."""
    by_trace = any(signal.name == "kernel_fraction" for signal in finding.evidence)
    if finding.cause != "compute_bound" or not finding.primary or not by_trace:
        return finding
    return msgspec.structs.replace(finding, claim=f"{finding.claim} {UNREAD}")


def _card_signals(breakdown: TraceBreakdown) -> tuple[Signal, ...]:
    """Return what the trace itself tells about the card; a run's own record comes first where there is one."""
    device = main_device(breakdown)
    if device is None or device.kind == "cpu":
        return card.card_signals("")
    capability = device.facts.get("compute_capability")
    known_capability = f"{capability:.1f}" if isinstance(capability, float) else ""
    return card.card_signals(device.model or "", compute_capability=known_capability)
