"""Weighs the findings of the step against those of the whole run: the one that costs most leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.confidence import LOWER
from gpuprobe.diagnosis.gains import NO_FLAW
from gpuprobe.diagnosis.rules import whole_run
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.evidence.whole_run_signals import whole_run_signals
from gpuprobe.records import Evidence, Gain, Signal
from gpuprobe.thresholds import DEFAULTS, Thresholds
from gpuprobe.whatif import run_gains
from gpuprobe.whatif.run_savings import ALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Diagnosis, Finding
    from gpuprobe.evidence.whole_run import RunBreakdown

MOST_TOLD = 4
# Categories that are no part of a step by itself, however its operations are started.
AROUND_A_CALL = frozenset({"idle_input", "idle_between_steps", "idle_compile", "idle_once", "idle_memory"})
COMPUTING = ("gpu_compute", "cpu_compute")
# The parts of a run beside its steps, in words.
BESIDE = {
    "epoch_start": "the starts of its epochs",
    "between_epochs": "what lies between its epochs",
    "validation": "validation",
    "evaluate": "evaluating",
    "checkpoint": "saving the model",
    "callback": "callbacks",
    "startup": "what comes before its first training",
}
# Causes that show only in all trainings of a process together.
OF_PROCESS = frozenset({"many_small_fits", "compiled_again", "startup", "between_trainings"})


def with_whole_run(
    diagnosis: Diagnosis,
    breakdown: RunBreakdown | None,
    limits: Thresholds = DEFAULTS,
    given: tuple[Signal, ...] = (),
) -> Diagnosis:
    """Return a diagnosis with the findings of its run's wall time, which lead if they outweigh the step's cause.

    `given` are signals of what the training was given.
    """
    if breakdown is None:
        return diagnosis
    evidence = Evidence(signals=(*whole_run_signals(breakdown).signals, *given, *_step_alone(diagnosis)))
    of_run, undecided = whole_run.decide(evidence, limits)
    of_run = tuple(_with_gain(finding, evidence) for finding in of_run)
    return msgspec.structs.replace(
        diagnosis,
        findings=_full_device_doubted(weighed(diagnosis.findings, of_run, breakdown), evidence, limits),
        not_evaluated=(*diagnosis.not_evaluated, *undecided),
        whole_run=breakdown,
    )


def in_short(breakdown: RunBreakdown) -> str:
    """Name the parts that took most of the wall time, in one line, the largest first."""
    largest = sorted(breakdown.rows, key=lambda row: -row.seconds)[:MOST_TOLD]
    parts = [f"{row.part.replace('_', ' ')} {row.name}".rstrip() + f" {wording.share(row.share)}" for row in largest]
    return f"{wording.duration(breakdown.wall_s)}: {', '.join(parts)}"


def tells_of_process(breakdown: RunBreakdown, limits: Thresholds = DEFAULTS) -> bool:
    """Whether the wall time of a process shows a cause that no single training of it shows."""
    return any(finding.cause in OF_PROCESS for finding in whole_run.decide(whole_run_signals(breakdown), limits)[0])


def weighed(of_step: Sequence[Finding], of_run: Sequence[Finding], breakdown: RunBreakdown) -> tuple[Finding, ...]:
    """Join the findings of a step, the primary one first, with those of the run; one for each cause.

    To compare them, a share of the step is multiplied by the share of the run that its steps take.
    """
    by_step = {finding.cause for finding in of_step if finding.confidence != "low"}
    # Only a trace tells how batches are made.
    of_run = [finding for finding in of_run if finding.cause != "input_bound" or "input_bound" not in by_step]
    if not of_run:
        return tuple(of_step)
    named = {finding.cause for finding in of_run}
    of_steps = breakdown.seconds("steps") / breakdown.recurring_s if breakdown.recurring_s else 0.0
    first = next((finding for finding in of_step if finding.primary), None)
    lead = of_run[0]
    costs = 0.0 if first is None or first.cause in NO_FLAW else first.severity * of_steps
    behind = lead.cause in OF_PROCESS and first is not None and first.cause in CAUSES[lead.cause].symptoms
    leads = first is None or behind or (lead.severity > costs and not (costs and lead.cause == "startup"))
    # A hint does not lead before a cause that other evidence shows.
    leads = leads and (lead.confidence != "low" or first is None or first.cause == "unattributed")
    rest = [finding for finding in of_step if finding.cause not in named and finding.cause != "unattributed"]
    if not leads and first is not None:
        ours = [_with_evidence_of_step(finding, of_step) for finding in of_run if finding.cause != first.cause]
        same_cause = [_with_evidence_of_step(finding, of_step) for finding in of_run if finding.cause == first.cause]
        head = msgspec.structs.replace(same_cause[0], primary=True) if same_cause else first
        return (head, *(finding for finding in rest if finding is not first), *ours)
    leading = msgspec.structs.replace(
        _with_evidence_of_step(lead, of_step), primary=True, ties_with=None, symptom_of=None
    )
    beside = [_beside(finding, lead) for finding in rest]
    return (leading, *(_with_evidence_of_step(finding, of_step) for finding in of_run[1:]), *beside)


def _full_device_doubted(findings: tuple[Finding, ...], evidence: Evidence, limits: Thresholds) -> tuple[Finding, ...]:
    """Return the findings, a full device less sure if much of the run passes outside its steps."""
    first = next((finding for finding in findings if finding.primary), None)
    if first is None or first.cause != "compute_bound":
        return findings
    shares = {part: evidence.number(f"run_share.{part}") or 0.0 for part in BESIDE}
    if _startup_s(evidence) < limits.startup_s:
        del shares["startup"]
    most = max(shares, key=shares.__getitem__)
    if shares[most] < limits.beside_full_share:
        return findings
    claim = f"{first.claim} Less sure, since {wording.share(shares[most])} of the run passes in {BESIDE[most]}."
    less = msgspec.structs.replace(first, confidence=LOWER[first.confidence], claim=claim)
    return tuple(less if finding is first else finding for finding in findings)


def _with_gain(finding: Finding, evidence: Evidence) -> Finding:
    """Return a finding with the gain of its remedy, or with the reason why it is not known."""
    gain = run_gains.gain(evidence, finding.cause)
    if isinstance(gain, Gain):
        return msgspec.structs.replace(finding, predicted_gain=gain)
    return msgspec.structs.replace(finding, no_gain=gain)


def _step_alone(diagnosis: Diagnosis) -> tuple[Signal, ...]:
    """Return as a signal how long a traced step takes by itself, without the waits and work around its call.

    `low` is the part of it that computes. Nothing without a trace.
    """
    device = main_device(diagnosis)
    if device is None:
        return ()
    took_ms = sum(ms for name, ms in device.ledger_ms.items() if name not in AROUND_A_CALL)
    computes_ms = sum(device.ledger_ms.get(name, 0.0) for name in COMPUTING)
    return (
        (Signal(name=ALONE, unit="ms", source="trace", value=took_ms, low=computes_ms, high=took_ms),)
        if took_ms > 0
        else ()
    )


def _startup_s(evidence: Evidence) -> float:
    return (evidence.number("run_share.startup") or 0.0) * (evidence.number("run_wall_s") or 0.0)


def _with_evidence_of_step(finding: Finding, of_step: Sequence[Finding]) -> Finding:
    """Return a finding of the run with the evidence of the step for the same cause."""
    same = next((other for other in of_step if other.cause == finding.cause), None)
    if same is None:
        return finding
    names = {signal.name for signal in finding.evidence}
    more = tuple(signal for signal in same.evidence if signal.name not in names)
    return msgspec.structs.replace(
        finding,
        evidence=(*finding.evidence, *more),
        predicted_gain=finding.predicted_gain or same.predicted_gain,
        no_gain="" if same.predicted_gain else finding.no_gain,
        measured_gain=same.measured_gain,
    )


def _beside(finding: Finding, lead: Finding) -> Finding:
    symptom = lead.cause if finding.cause in CAUSES[lead.cause].symptoms else None
    return msgspec.structs.replace(finding, primary=False, ties_with=None, symptom_of=symptom)
