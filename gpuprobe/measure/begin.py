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
from gpuprobe.measure.plan import Planned
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

    from gpuprobe.records import Request
    from gpuprobe.strategies.registry import Strategy
    from gpuprobe.workloads.arrays import Arrays
    from gpuprobe.workloads.workload import Workload

# The training images of CIFAR-10: epoch times are given for all of them, also where a study uses fewer.
EPOCH_SAMPLES = 50_000


@dataclass(frozen=True)
class Begun:
    """A study on disk that is ready to run; `arrays` is None for workloads other than the ResNet on CIFAR-10."""

    study: Study
    folder: Path
    arrays: Arrays | None


def begin(
    request: Request, strategies: Sequence[Strategy], out: Path, command: str, workload: Workload | None = None
) -> Begun:
    """Make a new study. A `workload` object is pickled into its folder, its functions by value, and the runs load it.

    Raises MissingError where its backend is not installed, InputError where the workload or its data cannot be loaded,
    OutputError where the folder cannot be made.
    """
    if not is_installed(request.backend):
        raise MissingError(lacking(request.backend))
    with scratch() as kept_here:
        handed_over = kept_here / f"workload{PICKLE}"
        if workload is not None:
            pickle(workload, handed_over)
            request = msgspec.structs.replace(request, model=str(handed_over))
        images = find_images(request)
        searchable = _searchable(strategies)
        chosen = survey_all(request, strategies, searchable, images)
        surveyed = chosen.survey
        # Before the folder is made: a driver may be slow to answer, and Ctrl-C then leaves no folder behind.
        machine = environment()
        where = folder.make(out, f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{_slug(surveyed.name)}")
        if workload is not None:
            pickled = where.resolve() / handed_over.name
            shutil.copy(handed_over, pickled)
            request = msgspec.structs.replace(request, model=str(pickled))
    study = Study(
        name=where.name,
        created_ns=time.time_ns(),
        command=command,
        environment=machine,
        workload=surveyed.name,
        data_name=images.name if images else surveyed.data,
        data_source=images.source if images else f"Its own data: {surveyed.data}.",
        batch_size=surveyed.batch_size,
        train_samples=surveyed.samples,
        epoch_samples=EPOCH_SAMPLES if images else surveyed.samples,
        counted=surveyed.counted,
        strategies=tuple(strategy.info for strategy in chosen.strategies),
        request=msgspec.structs.replace(request, batch_size=surveyed.batch_size),
        changes=tuple(strategy.info for strategy in searchable if strategy.name not in surveyed.skip),
        notes=chosen.notes,
    )
    save(study, where / STUDY_FILE)
    _record_skipped(study, where, {**_cannot_spread(study), **surveyed.skip})
    return Begun(study, where, images)


def resume(where: Path, budget_s: float | None = None) -> Begun:
    """Resume the interrupted study in a folder; a `budget_s` replaces its own.

    Raises InputError where the folder holds no study, UsageError where it cannot be resumed here: it was measured on
    another machine, its data is missing, or it was simulated.
    """
    study = load_study(where)
    if budget_s is not None:
        study = msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, budget_s=budget_s))
    recorded = study.environment
    if recorded.simulated:
        raise UsageError(f"{where}: is simulated, and nothing of it is left to measure")
    machine = environment()
    if (machine.cpu, machine.cores, machine.gpus) != (recorded.cpu, recorded.cores, recorded.gpus):
        raise UsageError(
            f"{where}: was measured on another machine ({recorded.cpu}, {wording.count(recorded.cores, 'core')}); "
            "go on there, or start a new study here"
        )
    folder.recover(where)
    images = find_images(study.request)
    if images is not None and (images.name, len(images.x)) != (study.data_name, study.train_samples):
        raise UsageError(f"{where}: was measured on {study.data_name}, which cannot be found now; start a new study")
    return Begun(study, where, images)


def find_images(request: Request) -> Arrays | None:
    """Return the ResNet's images, or None for a workload that has its own data."""
    return None if request.model else data.find(request.data, seed=request.seed, samples=request.samples)


def _searchable(strategies: Sequence[Strategy]) -> tuple[Strategy, ...]:
    """Return what a search may try beside the study's own strategies; nothing where the study has no search.

    They are those of the catalogue whose gain a replay can predict.
    """
    if not any(strategy.combines for strategy in strategies):
        return ()
    chosen = {strategy.name for strategy in strategies}
    return tuple(
        strategy
        for strategy in changes().values()
        if strategy.name not in chosen and strategy.what_if and not strategy.combines
    )


def _record_skipped(study: Study, where: Path, reasons: dict[str, str]) -> None:
    """Write a record for each strategy that cannot be run in this study, with the reason."""
    for info in study.strategies:
        if info.name in reasons:
            spec = Planned(1, info.name).spec(study)
            skipped = run_folder(where, spec.round, info.name)
            skipped.mkdir(parents=True)
            save(Run(spec=spec, outcome=Outcome(state="skipped", message=reasons[info.name])), skipped / RUN_FILE)


def _cannot_spread(study: Study) -> dict[str, str]:
    """Return why strategies of several devices cannot be run on this machine with this batch."""
    # The number of devices does not depend on a machine here.
    machine = Machine(compute_capability=None, cpu_has_bfloat16=True, largest_batch=lambda: study.batch_size)
    # Where each worker has a host of its own, this one needs a single GPU.
    gpus, reasons = len(study.environment.gpus) if study.request.worker_index is None else 0, {}
    for info in study.strategies:
        if info.scale is not None:
            planned = plan(info.name, study.batch_size, machine)
            reasons[info.name] = cannot_spread(info.scale, planned, study.batch_size, gpus)
    return {name: reason for name, reason in reasons.items() if reason}


def _slug(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "-".join(words[:4])
