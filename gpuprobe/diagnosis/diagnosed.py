"""One recording's account with its findings, as one record: what `gpuprobe diagnose --json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.advice.give import advised
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.join import Vote, join
from gpuprobe.diagnosis.records import Diagnosis, Finding
from gpuprobe.diagnosis.rules import card_and_settings, gpu_state, telemetry, trace
from gpuprobe.evidence import card
from gpuprobe.evidence.breakdown import evidence_of, main_device
from gpuprobe.evidence.meters import meters
from gpuprobe.records import Evidence, Signal
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.records import Account
    from gpuprobe.whatif.records import Replay

NO_TRACE, NO_STEP = "there is no trace", "it holds no step"
READINGS_ALONE = "Readings tell how busy the GPU was, not why it waited: that takes a trace of a few steps."
UNREAD = (
    "No readings of the GPU were taken: whether heat, its power limit or another program makes its kernels longer "
    "cannot be told."
)


def diagnosed(
    account: Account,
    readings: Evidence | None = None,
    setting: Sequence[Signal] = (),
    limits: Thresholds = DEFAULTS,
    replay: Replay | None = None,
) -> Diagnosis:
    """Apply the rules to an account and the readings of the same time; `setting` are signals of the run itself."""
    traced = evidence_of(account)
    votes = [_doubted(trace_vote(account, traced, limits), traced, readings, limits)]
    if readings:
        votes.append(telemetry_vote(readings, traced, limits))
    seen = readings.signals if readings else ()
    known = Evidence(signals=(*traced.signals, *setting, *_card(account), *seen))
    beside = card_and_settings.diagnose if account.devices or setting else gpu_state.diagnose
    joined = join(votes, beside(known, limits), limits, replay)
    findings = joined.findings if joined.primary else (_unattributed(account, votes[0], traced), *joined.findings)
    findings = advised(findings if seen else tuple(map(_unread, findings)), known, limits, replay)
    fields = {name: getattr(account, name) for name in account.__struct_fields__}
    return Diagnosis(
        **fields,
        findings=findings,
        not_evaluated=joined.not_evaluated,
        agreement=joined.agreement if readings else "",
        disputed=joined.disputed,
        telemetry=tuple(signal for signal in seen if signal.value is not None),
        replay=replay,
        what_if={made.change: made.gain for made in replay.predictions} if replay else {},
        meters=meters(known.get("utilization_percent"), main_device(account), known.get("mfu")),
    )


def _unattributed(account: Account, trace: Vote, traced: Evidence) -> Finding:
    """Say that nothing tells the cause, and why: some finding is always primary."""
    if account.devices:
        reason = next((other.reason for other in trace.not_evaluated if other.cause == "compute_bound"), "")
        claim = f"What limits the training is not known: {reason or 'no cause stands out'}."
    elif account.format == "telemetry":
        claim = READINGS_ALONE
    else:
        claim = f"There is no step to account for: {account.warnings[-1] if account.warnings else NO_STEP}."
    return Finding(
        cause="unattributed",
        primary=True,
        severity=traced.number("share.unattributed") or 0.0,
        confidence="low",
        claim=claim,
        evidence=traced.only("share.unattributed"),
        fix=CAUSES["unattributed"].fix,
    )


def trace_vote(account: Account | None, traced: Evidence, limits: Thresholds, why_none: str | None = None) -> Vote:
    """Return what a trace says; `why_none` is the reason where there is none."""
    if account is None or not account.devices:
        missing = why_none or (NO_STEP if account is not None and account.format != "telemetry" else NO_TRACE)
        undecided = (
            trace.diagnose(Evidence(), limits)[1] if account is not None and account.format != "telemetry" else ()
        )
        return Vote(kind="trace", missing=missing, not_evaluated=undecided)
    found, undecided = trace.diagnose(traced, limits)
    return Vote(kind="trace", findings=found, not_evaluated=undecided)


def _doubted(vote: Vote, traced: Evidence, readings: Evidence | None, limits: Thresholds) -> Vote:
    """Make a full GPU a mere hint where the trace shows nothing of the host, and NVML saw the GPU at rest.

    NVML counts a moment as busy when any kernel runs in it: it can't show less than the kernels of whole steps.
    """
    percent = readings.number("utilization_percent") if readings else None
    if percent is None or vote.primary is None or vote.primary.cause != "compute_bound":
        return vote
    busy, outside = traced.number("share.gpu_compute"), traced.get("idle_outside_step_fraction")
    if busy is None or outside is None or outside.value is not None or percent / 100 > busy - limits.meters_apart:
        return vote
    findings = (msgspec.structs.replace(vote.primary, confidence="low"), *vote.findings[1:])
    return msgspec.structs.replace(vote, findings=findings)


def telemetry_vote(readings: Evidence | None, traced: Evidence, limits: Thresholds) -> Vote:
    """Return what the readings of a GPU and its host say; the trace only tells them which device computed how long."""
    if readings is None:
        return Vote(kind="telemetry", missing="nothing was sampled")
    seen = Evidence(signals=(*readings.signals, *traced.only("device_kind", "share.cpu_compute")))
    found, undecided = telemetry.diagnose(seen, limits)
    return Vote(kind="telemetry", findings=found, not_evaluated=undecided)


def _unread(found: Finding) -> Finding:
    """Say of a GPU that is full what only its readings could tell."""
    if (
        found.cause != "compute_bound"
        or not found.primary
        or not any(s.name == "kernel_fraction" for s in found.evidence)
    ):
        return found
    return msgspec.structs.replace(found, claim=f"{found.claim} {UNREAD}")


def _card(account: Account) -> tuple[Signal, ...]:
    """What the trace itself tells of the card; a run's own record comes first where there is one."""
    device = main_device(account)
    if device is None or device.kind == "cpu":
        return card.card_signals("")
    capability = device.facts.get("compute_capability")
    told = f"{capability:.1f}" if isinstance(capability, float) else ""
    return card.card_signals(device.model or "", compute_capability=told)
