"""What the trace of a watched training proves, joined with the time between steps that the clock saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gpuprobe.recording import TRACE_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.diagnosis.records import Diagnosis, Finding
    from gpuprobe.records import Run

BETWEEN_STEPS = "host_between_steps"


def diagnosis_of(run: Run, folder: Path) -> Diagnosis | None:
    """Diagnose the recording of a run whose record is saved; None where it holds no trace.

    Raises InputError where the trace cannot be read.
    """
    if run.trace is None or run.trace.path is None or not (folder / TRACE_FOLDER).is_dir():
        return None
    # Only a training that took a trace pays for loading the rules.
    from gpuprobe.diagnosis.diagnosed import diagnosed
    from gpuprobe.diagnosis.recorded import recorded

    found = recorded(folder)
    return diagnosed(found.account, found.readings, found.setting, replay=found.replay)


def joined(diagnosis: Diagnosis, clocked: Finding | None) -> tuple[Finding, ...]:
    """Return the trace's findings with the clock's own beside them; empty where the trace decided nothing.

    The trace is of a few steps, so that it may miss a callback that comes every hundred. Where it shows a GPU that is
    busy all along, time between the steps costs nothing: most of it is the host waiting for the result.
    """
    first = diagnosis.primary
    if first is None or diagnosis.undecided:
        return ()
    if clocked is None:
        return diagnosis.findings
    if any(finding.cause == BETWEEN_STEPS for finding in diagnosis.findings):
        return tuple(_with_evidence(finding, clocked) for finding in diagnosis.findings)
    hidden = first.cause == "compute_bound" and any(device.kind != "cpu" for device in diagnosis.devices)
    beside = () if hidden else (msgspec.structs.replace(clocked, primary=False),)
    return (*diagnosis.findings, *beside)


def _with_evidence(finding: Finding, clocked: Finding) -> Finding:
    if finding.cause != BETWEEN_STEPS:
        return finding
    return msgspec.structs.replace(finding, evidence=(*finding.evidence, *clocked.evidence))
