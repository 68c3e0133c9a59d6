"""Begins or resumes a study: examines workload and machine, makes the folder, and skips what cannot be run."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import wording
from gpuprobe.backends.known import is_installed, lacking
from gpuprobe.errors import MissingError, UsageError
from gpuprobe.measure import folder
from gpuprobe.measure.environment import environment
from gpuprobe.measure.plan import PlannedRun
from gpuprobe.measure.survey_all import survey_all
from gpuprobe.recording import RUN_FILE, STUDY_FILE, load_study, run_folder
from gpuprobe.records import Outcome, Run, Study, save
from gpuprobe.scratch import scratch
from gpuprobe.strategies.plan import Machine
from gpuprobe.strategies.registry import changes, plan
from gpuprobe.strategies.scaling import cannot_spread
from gpuprobe.workloads import data
from gpuprobe.workloads.resolve import PICKLE, pickle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.records import Environment, Request
    from gpuprobe.strategies.registry import Strategy
    from gpuprobe.workloads.arrays import Arrays
    from gpuprobe.workloads.workload import Workload

# All training images of CIFAR-10: epoch times are given for this number, also where a study trains on fewer.
EPOCH_SAMPLES = 50_000


@dataclass(frozen=True)
class ReadyStudy:
    """A study on disk that is ready to run; `arrays` is None for workloads other than the ResNet on CIFAR-10."""

    study: Study
    folder: Path
    arrays: Arrays | None


def begin(
    request: Request, strategies: Sequence[Strategy], out: Path, command: str, workload: Workload | None = None
) -> ReadyStudy:
    """Make the folder of a new study, with its record, below `out`.

    A `workload` object is pickled into the folder, its functions by value, and the runs load it from there. Raises
    MissingError where its backend is not installed, InputError where the workload or its data cannot be loaded,
    OutputError where the folder cannot be made.
    """
    if not is_installed(request.backend):
        raise MissingError(lacking(request.backend))
    with scratch() as temporary_folder:
        pickle_file = temporary_folder / f"workload{PICKLE}"
        if workload is not None:
            pickle(workload, pickle_file)
            request = msgspec.structs.replace(request, model=str(pickle_file))
        images = find_images(request)
        searchable = _searchable(strategies)
        surveyed = survey_all(request, strategies, searchable, images)
        survey = surveyed.survey
        # Before the folder is made: a driver may be slow to answer, and Ctrl-C then leaves no folder behind.
        machine = environment()
        study_folder = folder.make(out, f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{_slug(survey.name)}")
        if workload is not None:
            request = _with_copy(request, pickle_file, study_folder)
    study = Study(
        name=study_folder.name,
        created_ns=time.time_ns(),
        command=command,
        environment=machine,
        workload=survey.name,
        data_name=images.name if images else survey.data,
        data_source=images.source if images else f"Its own data: {survey.data}.",
        batch_size=survey.batch_size,
        train_samples=survey.samples,
        epoch_samples=EPOCH_SAMPLES if images else survey.samples,
        counted=survey.counted,
        strategies=tuple(strategy.info for strategy in surveyed.strategies),
        request=msgspec.structs.replace(request, batch_size=survey.batch_size),
        changes=tuple(strategy.info for strategy in searchable if strategy.name not in survey.skip),
        notes=surveyed.notes,
    )
    save(study, study_folder / STUDY_FILE)
    _record_skipped(study, study_folder, {**_cannot_spread(study), **survey.skip})
    return ReadyStudy(study, study_folder, images)


def _with_copy(request: Request, pickle_file: Path, study_folder: Path) -> Request:
    """Copy the pickled workload into the study's folder; return the request that names it there."""
    copy = study_folder.resolve() / pickle_file.name
    shutil.copy(pickle_file, copy)
    return msgspec.structs.replace(request, model=str(copy))


def resume(study_folder: Path, budget_s: float | None = None) -> ReadyStudy:
    """Resume the interrupted study in a folder; a `budget_s` replaces its own.

    Raises InputError where the folder holds no study, UsageError where it cannot be resumed here: it was measured on
    another machine or on several hosts, its data is missing, or it was simulated.
    """
    study = load_study(study_folder)
    if budget_s is not None:
        study = msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, budget_s=budget_s))
    recorded_machine = study.environment
    if recorded_machine.simulated:
        raise UsageError(f"{study_folder}: is simulated, so there is nothing left to measure")
    if study.request.worker_index is not None:
        raise UsageError(
            f"{study_folder}: was measured on several hosts, which cannot go on with it together; start a new study on "
            "each of them"
        )
    machine = environment()
    if _hardware(machine) != _hardware(recorded_machine):
        recorded = f"{recorded_machine.cpu}, {wording.count(recorded_machine.cores, 'core')}"
        raise UsageError(
            f"{study_folder}: was measured on another machine ({recorded}); go on there, or start a new study here"
        )
    folder.recover(study_folder)
    images = find_images(study.request)
    if images is not None and (images.name, len(images.x)) != (study.data_name, study.train_samples):
        raise UsageError(
            f"{study_folder}: was measured on {study.data_name}, which cannot be found now; start a new study"
        )
    return ReadyStudy(study, study_folder, images)


def _hardware(machine: Environment) -> tuple[object, ...]:
    return machine.cpu, machine.cores, machine.gpus


def find_images(request: Request) -> Arrays | None:
    """Return the ResNet's images, or None for a workload that has its own data."""
    return None if request.model else data.find(request.data, seed=request.seed, samples=request.samples)


def _searchable(strategies: Sequence[Strategy]) -> tuple[Strategy, ...]:
    """Return the strategies that a search may try beside the study's own; none where the study has no search.

    These are the strategies of the catalogue whose gain a replay can predict.
    """
    if not any(strategy.combines for strategy in strategies):
        return ()
    chosen_names = {strategy.name for strategy in strategies}
    return tuple(
        strategy
        for strategy in changes().values()
        if strategy.name not in chosen_names and strategy.what_if and not strategy.combines
    )


def _record_skipped(study: Study, study_folder: Path, reasons: dict[str, str]) -> None:
    """Write a record for each strategy that cannot be run in this study, with the reason."""
    for info in study.strategies:
        if info.name in reasons:
            spec = PlannedRun(1, info.name).spec(study)
            skipped_folder = run_folder(study_folder, spec.round, info.name)
            skipped_folder.mkdir(parents=True)
            save(
                Run(spec=spec, outcome=Outcome(state="skipped", message=reasons[info.name])), skipped_folder / RUN_FILE
            )


def _cannot_spread(study: Study) -> dict[str, str]:
    """Return why strategies of several devices cannot be run on this machine with this batch."""
    # The number of devices does not depend on a machine here.
    machine = Machine(compute_capability=None, cpu_has_bfloat16=True, largest_batch=lambda: study.batch_size)
    # Where each worker has a host of its own, this one needs a single GPU.
    gpu_count, why_by_strategy = len(study.environment.gpus) if study.request.worker_index is None else 0, {}
    for info in study.strategies:
        if info.scale is not None:
            strategy_plan = plan(info.name, study.batch_size, machine)
            why_by_strategy[info.name] = cannot_spread(info.scale, strategy_plan, study.batch_size, gpu_count)
    return {name: reason for name, reason in why_by_strategy.items() if reason}


def _slug(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join(words[:4])
