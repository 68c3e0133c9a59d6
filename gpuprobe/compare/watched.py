"""Reads a watch for a comparison: its leading training, the diagnosis of it, and where the run's wall time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.compare.records import Cause
from gpuprobe.diagnosis.trainings import leading_training, read_processes, read_trainings
from gpuprobe.evidence.whole_run import once
from gpuprobe.units import MS_PER_S

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.compare.records import Measured
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.diagnosis.trainings import Training
    from gpuprobe.evidence.whole_run import RunBreakdown


def led_by(watch: Path) -> Training | None:
    """Return the leading training of a watch, with its diagnosis; None where no training has one."""
    return leading_training(read_trainings(watch))


def with_training(measured: Measured, measured_run: Measured, leading: Training, watch: Path) -> Measured:
    """Add to a watched command what is known of its leading training: its run, `measured_run`, and its diagnosis."""
    assert leading.diagnosis is not None, "the training that leads was diagnosed"
    primary_finding = leading.diagnosis.primary
    processes = read_processes(watch)
    whole_run = processes[0] if len(processes) == 1 else leading.diagnosis.whole_run
    return msgspec.structs.replace(
        measured,
        rates=measured_run.rates,
        why_no_rate=measured_run.why_no_rate,
        settings=measured_run.settings,
        choices=measured.choices
        | measured_run.choices
        | (step_counts_as_text(whole_run) if whole_run is not None else {}),
        breakdown=measured_run.breakdown,
        until_steady_s=measured_run.until_steady_s,
        cause=_primary_cause(primary_finding) if primary_finding is not None else None,
        causes=tuple(finding.cause for finding in leading.diagnosis.findings),
        run_ms=run_ms(whole_run) if whole_run is not None else {},
    )


def _primary_cause(primary_finding: Finding) -> Cause:
    return Cause(
        cause=primary_finding.cause,
        confidence=primary_finding.confidence,
        stage=primary_finding.stage or "",
        severity=primary_finding.severity,
        of=primary_finding.of,
    )


def step_counts_as_text(breakdown: RunBreakdown) -> dict[str, str]:
    """Return the number of calls of `fit`, and of steps in an epoch, as text."""
    step_counts = {"calls of fit": f"{breakdown.trainings:,}"}
    if breakdown.epochs:
        steps_an_epoch = breakdown.calls / breakdown.epochs
        step_counts["steps an epoch"] = (
            f"{steps_an_epoch:,.0f}" if steps_an_epoch == round(steps_an_epoch) else wording.significant(steps_an_epoch)
        )
    return step_counts


def run_ms(breakdown: RunBreakdown) -> dict[str, float]:
    """Return the wall time of a run for each call of its train function, in ms by part, without one-time parts.

    A part that has a name, as a callback has, is followed by it.
    """
    if not breakdown.calls:
        return {}
    one_time_parts = once(breakdown.trainings)
    repeated_parts = [row for row in breakdown.rows if row.part not in one_time_parts]
    return {f"{row.part} {row.name}".rstrip(): row.seconds * MS_PER_S / breakdown.calls for row in repeated_parts}
