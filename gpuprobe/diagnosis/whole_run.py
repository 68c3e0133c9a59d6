"""Weighs what a trace found in a step against what the clock found in the whole run: what costs most leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.diagnosis.causes import CAUSES
from gpuprobe.diagnosis.gains import NO_FLAW
from gpuprobe.diagnosis.join import LOWER
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
# What is no part of a step by itself, and what no way of starting its operations makes shorter.
AROUND_A_CALL = frozenset({"idle_input", "idle_between_steps", "idle_compile", "idle_once", "idle_memory"})
COMPUTING = ("gpu_compute", "cpu_compute")
# What of a run lies beside its steps, in words.
BESIDE = {
    "epoch_start": "the starts of its epochs",
    "between_epochs": "what lies between its epochs",
    "validation": "validation",
    "evaluate": "evaluating",
    "checkpoint": "saving the model",
    "callback": "callbacks",
    "startup": "what comes before its first training",
}
# What shows in all trainings of a process together.
OF_PROCESS = frozenset({"many_small_fits", "compiled_again", "startup"})


def with_whole_run(
    diagnosis: Diagnosis,
    breakdown: RunBreakdown | None,
    limits: Thresholds = DEFAULTS,
    given: tuple[Signal, ...] = (),
) -> Diagnosis:
    """Return a diagnosis with what the wall time of its run proves, which leads where it outweighs the step's cause.

    `given` are signals of what the training was given.
    """
    if breakdown is None:
        return diagnosis
    evidence = Evidence(signals=(*whole_run_signals(breakdown).signals, *given, *_alone(diagnosis)))
    found, undecided = whole_run.decide(evidence, limits)
    found = tuple(_gaining(one, evidence) for one in found)
    return msgspec.structs.replace(
        diagnosis,
        findings=_less_full(weighed(diagnosis.findings, found, breakdown), evidence, limits),
        not_evaluated=(*diagnosis.not_evaluated, *undecided),
        whole_run=breakdown,
    )


def in_short(breakdown: RunBreakdown) -> str:
    """Say in a line where most of the wall time went, the largest parts first."""
    largest = sorted(breakdown.rows, key=lambda row: -row.seconds)[:MOST_TOLD]
    told = [f"{row.part.replace('_', ' ')} {row.name}".rstrip() + f" {wording.share(row.share)}" for row in largest]
    return f"{wording.duration(breakdown.wall_s)}: {', '.join(told)}"


def tells_of_process(breakdown: RunBreakdown, limits: Thresholds = DEFAULTS) -> bool:
    """Whether the wall time of a process proves what no training in it shows by itself."""
    return any(found.cause in OF_PROCESS for found in whole_run.decide(whole_run_signals(breakdown), limits)[0])


def weighed(of_step: Sequence[Finding], of_run: Sequence[Finding], breakdown: RunBreakdown) -> tuple[Finding, ...]:
    """Join the findings of a step, the primary one first, with those of the run; one for each cause.

    The share of a step counts for as much of the run as its steps take.
    """
    by_step = {found.cause for found in of_step if found.confidence != "low"}
    # How batches are made, only a trace tells.
    of_run = [found for found in of_run if found.cause != "input_bound" or "input_bound" not in by_step]
    if not of_run:
        return tuple(of_step)
    named = {found.cause for found in of_run}
    of_steps = breakdown.seconds("steps") / breakdown.recurring_s if breakdown.recurring_s else 0.0
    first = next((found for found in of_step if found.primary), None)
    lead = of_run[0]
    costs = 0.0 if first is None or first.cause in NO_FLAW else first.severity * of_steps
    behind = lead.cause in OF_PROCESS and first is not None and first.cause in CAUSES[lead.cause].symptoms
    leads = first is None or behind or (lead.severity > costs and not (costs and lead.cause == "startup"))
    # A hint stands beside what anything else shows.
    leads = leads and (lead.confidence != "low" or first is None or first.cause == "unattributed")
    rest = [found for found in of_step if found.cause not in named and found.cause != "unattributed"]
    if not leads and first is not None:
        ours = [_joined(found, of_step) for found in of_run if found.cause != first.cause]
        told = [_joined(found, of_step) for found in of_run if found.cause == first.cause]
        head = msgspec.structs.replace(told[0], primary=True) if told else first
        return (head, *(found for found in rest if found is not first), *ours)
    leading = msgspec.structs.replace(_joined(lead, of_step), primary=True, ties_with=None, symptom_of=None)
    beside = [_beside(found, lead) for found in rest]
    return (leading, *(_joined(found, of_step) for found in of_run[1:]), *beside)


def _less_full(findings: tuple[Finding, ...], evidence: Evidence, limits: Thresholds) -> tuple[Finding, ...]:
    """Return the findings, a full device less sure where much of the run passes beside its steps."""
    first = next((found for found in findings if found.primary), None)
    if first is None or first.cause != "compute_bound":
        return findings
    shares = {part: evidence.number(f"run_share.{part}") or 0.0 for part in BESIDE}
    most = max(shares, key=shares.__getitem__)
    if shares[most] < limits.beside_full_share or (most == "startup" and _seconds(evidence) < limits.startup_s):
        return findings
    told = f"{first.claim} Less sure, since {wording.share(shares[most])} of the run passes in {BESIDE[most]}."
    less = msgspec.structs.replace(first, confidence=LOWER[first.confidence], claim=told)
    return tuple(less if found is first else found for found in findings)


def _gaining(found: Finding, evidence: Evidence) -> Finding:
    """Return a finding with what its remedy gains, or with why that cannot be told."""
    made = run_gains.gain(evidence, found.cause)
    if isinstance(made, Gain):
        return msgspec.structs.replace(found, predicted_gain=made)
    return msgspec.structs.replace(found, no_gain=made)


def _alone(diagnosis: Diagnosis) -> tuple[Signal, ...]:
    """Return how long the call of a step takes by itself, as the trace shows it: without what comes around its work."""
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


def _seconds(evidence: Evidence) -> float:
    return (evidence.number("run_share.startup") or 0.0) * (evidence.number("run_wall_s") or 0.0)


def _joined(found: Finding, of_step: Sequence[Finding]) -> Finding:
    """Return a finding of the run with the evidence of the step for the same cause."""
    same = next((other for other in of_step if other.cause == found.cause), None)
    if same is None:
        return found
    names = {signal.name for signal in found.evidence}
    more = tuple(signal for signal in same.evidence if signal.name not in names)
    return msgspec.structs.replace(
        found,
        evidence=(*found.evidence, *more),
        code=found.code or same.code,
        predicted_gain=found.predicted_gain or same.predicted_gain,
        no_gain="" if same.predicted_gain else found.no_gain,
        measured_gain=same.measured_gain,
    )


def _beside(found: Finding, lead: Finding) -> Finding:
    symptom = lead.cause if found.cause in CAUSES[lead.cause].symptoms else None
    return msgspec.structs.replace(found, primary=False, ties_with=None, symptom_of=symptom)
