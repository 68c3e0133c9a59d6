"""The trainings that `gpuprobe watch --trace` attached to, each with the diagnosis of its trace; from disk alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.diagnosis.records import Diagnosis
from gpuprobe.diagnosis.whole_run import tells_of_process
from gpuprobe.errors import InputError
from gpuprobe.evidence.whole_run import breakdown_of_wall
from gpuprobe.known_bugs import BUGS
from gpuprobe.recording import (
    FIT_FAILED_FILE,
    KERAS_SEEN,
    RUN_FILE,
    RUNS_FOLDER,
    STUDY_FILE,
    TRACE_FOLDER,
    TRAININGS_FOLDER,
    WALL_FILES,
    whole,
)
from gpuprobe.records import Record, Run, Wall, load
from gpuprobe.traces.formats import is_named_as_a_trace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.evidence.whole_run import RunBreakdown

NO_KERAS = (
    "the command never loaded Keras, or it is not Python, or its Python leaves PYTHONPATH aside (-E, -I, -S) or cannot "
    "load gpuprobe"
)
# By the backend of Keras, which the hook recorded.
NO_STEP = {
    "tensorflow": "Keras was loaded, fit was not called without a Probe of its own, and no update by a Keras optimizer "
    "was seen; around another loop put gpuprobe.window(...)",
    "jax": "Keras was loaded, and neither fit nor train_on_batch was called without a Probe of its own; a loop over "
    "functions that JAX compiled does not show its steps: put gpuprobe.window(...) around it",
    "torch": "Keras was loaded, and neither fit nor train_on_batch was called without a Probe of its own; around "
    "another loop put gpuprobe.window(...)",
}
NO_STEP_ELSE = (
    "Keras was loaded, and neither fit nor train_on_batch was called; with this backend ({backend}) there would be no "
    "trace either, only step times and telemetry"
)
FAILED = "fit failed before its first step"
UNSAID = "it has no trace, and its record does not say why"


class Training(Record, frozen=True, kw_only=True):
    """One `fit` or other loop: the folder of its recording within the watch's, and its diagnosis or why it has none."""

    folder: str
    diagnosis: Diagnosis | None = None
    missing: str = ""


def studies(folder: Path) -> list[Path]:
    """Return the folders of the trainings' recordings in a watch's folder, in the order of their begin."""
    return sorted(path.parent for path in (folder / TRAININGS_FOLDER).glob(f"*/{STUDY_FILE}"))


def read_trainings(folder: Path) -> tuple[Training, ...]:
    """Diagnose each training of a watch. One that cannot be read raises nothing: its record says so."""
    runs = [run for study in studies(folder) for run in sorted((study / RUNS_FOLDER).glob("*/"))]
    processes = read_processes(folder)
    process = processes[0] if len(processes) == 1 else None
    return tuple(_training(run, str(run.relative_to(folder)), process) for run in runs)


def read_processes(folder: Path) -> tuple[RunBreakdown, ...]:
    """Return the wall-time breakdown of each process that loaded Keras; one that cannot be read is left out."""
    files = sorted((folder / TRAININGS_FOLDER).glob(WALL_FILES.format("*")))
    walls = [whole(lambda file=file: load(Wall, file), []) for file in files]  # type: ignore[misc]
    breakdowns = [breakdown_of_wall(wall) for wall in walls if wall is not None]
    return tuple(breakdown for breakdown in breakdowns if breakdown is not None)


def why_none(folder: Path) -> str:
    """Return why a watch saw no training; empty where it saw one, or was not asked to attach."""
    if not (folder / TRAININGS_FOLDER).is_dir() or studies(folder):
        return ""
    if (folder / TRAININGS_FOLDER / FIT_FAILED_FILE).is_file():
        return FAILED
    try:
        backend = (folder / TRAININGS_FOLDER / KERAS_SEEN).read_text()
    except OSError:
        return NO_KERAS
    return NO_STEP.get(backend, NO_STEP_ELSE.format(backend=backend))


def known_bug(folder: Path) -> str:
    """Return the line about the known bug by which a training of a watch failed, empty where none is known."""
    try:
        bug = BUGS.get((folder / TRAININGS_FOLDER / FIT_FAILED_FILE).read_text())
    except (OSError, UnicodeDecodeError):
        return ""
    return bug.line if bug else ""


def leading_training(trainings: Sequence[Training]) -> Training | None:
    """Return the training that leads the report: the first with a trace, else the first that the clock diagnosed.

    None where no training was diagnosed. The clock over a whole process tells the same of each of its trainings; a
    trace also tells of the steps.
    """
    diagnosed = [training for training in trainings if training.diagnosis is not None]
    traced = (training for training in diagnosed if training.diagnosis and training.diagnosis.devices)
    return next(traced, next(iter(diagnosed), None))


def same_verdict(one: Training, other: Training) -> bool:
    """Whether the same cause, or stage of it, leads in both trainings, whose diagnoses are known."""
    first, second = (training.diagnosis.primary if training.diagnosis else None for training in (one, other))
    return first is not None and second is not None and (first.cause, first.stage) == (second.cause, second.stage)


def why_no_trace(folder: Path, trainings: Sequence[Training]) -> str:
    """Return why a watch has no trace; empty where it has one, or was not asked for one."""
    if leading_training(trainings) is not None:
        return ""
    return why_none(folder) or next((training.missing for training in trainings), "")


def _training(run: Path, name: str, process: RunBreakdown | None) -> Training:
    """Diagnose a training; one without a trace only if the wall time of its run shows a cause by itself."""
    traced = any(is_named_as_a_trace(file.name) for file in (run / TRACE_FOLDER).glob("**/*"))
    try:
        case = recorded(run, trace=traced)
        if process is not None and tells_of_process(process):
            case = replace(case, whole_run=process)
        diagnosis = diagnose(case)
    except InputError as error:
        return Training(folder=name, missing=str(error))
    if traced or (diagnosis.primary is not None and diagnosis.primary.of == "run"):
        return Training(folder=name, diagnosis=diagnosis)
    return Training(folder=name, missing=_why_no_trace(run))


def _why_no_trace(run: Path) -> str:
    if not (run / RUN_FILE).is_file():
        return "it is still running, and has no trace yet"
    trace = load(Run, run / RUN_FILE).trace
    return trace.missing if trace is not None and trace.missing else UNSAID
