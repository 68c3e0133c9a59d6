"""Reads a watch for a comparison: its leading training, what that one's diagnosis names, where the run's time went."""

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
    """Return the training of a watch that leads, with its diagnosis; None where no training left one."""
    return leading_training(read_trainings(watch))


def with_training(measured: Measured, of_run: Measured, leading: Training, watch: Path) -> Measured:
    """Add to a watched command what is known of its leading training: its run `of_run`, and its diagnosis."""
    assert leading.diagnosis is not None, "the training that leads was diagnosed"
    first = leading.diagnosis.primary
    processes = read_processes(watch)
    of_process = processes[0] if len(processes) == 1 else leading.diagnosis.whole_run
    return msgspec.structs.replace(
        measured,
        rates=of_run.rates,
        why_no_rate=of_run.why_no_rate,
        settings=of_run.settings,
        choices=measured.choices | of_run.choices | (counts(of_process) if of_process is not None else {}),
        breakdown=of_run.breakdown,
        until_steady_s=of_run.until_steady_s,
        cause=_leading(first) if first is not None else None,
        causes=tuple(finding.cause for finding in leading.diagnosis.findings),
        run_ms=run_ms(of_process) if of_process is not None else {},
    )


def _leading(first: Finding) -> Cause:
    return Cause(
        cause=first.cause,
        confidence=first.confidence,
        stage=first.stage or "",
        severity=first.severity,
        of=first.of,
    )


def counts(breakdown: RunBreakdown) -> dict[str, str]:
    """Return how the script divides its steps, as text."""
    told = {"calls of fit": f"{breakdown.trainings:,}"}
    if breakdown.epochs:
        steps = breakdown.calls / breakdown.epochs
        told["steps an epoch"] = f"{steps:,.0f}" if steps == round(steps) else wording.significant(steps)
    return told


def run_ms(breakdown: RunBreakdown) -> dict[str, float]:
    """Return the wall time of a run for each call of its train function, in ms by part, without one-time parts.

    A part that has a name, as a callback has, is followed by it.
    """
    if not breakdown.calls:
        return {}
    left_out = once(breakdown.trainings)
    rows = [row for row in breakdown.rows if row.part not in left_out]
    return {f"{row.part} {row.name}".rstrip(): row.seconds * MS_PER_S / breakdown.calls for row in rows}
