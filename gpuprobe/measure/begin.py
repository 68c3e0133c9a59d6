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
from gpuprobe.errors import InputError, MissingError, UsageError
from gpuprobe.measure import folder
from gpuprobe.measure.environment import environment
from gpuprobe.measure.survey import Question, Survey, survey
from gpuprobe.recording import RUN_FILE, STUDY_FILE, load_study, run_folder
from gpuprobe.records import Outcome, Run, RunSpec, Study, save
from gpuprobe.scratch import scratch
from gpuprobe.strategies.plan import Machine
from gpuprobe.strategies.registry import changes, plan
from gpuprobe.strategies.scaling import cannot_spread
from gpuprobe.workloads import data
from gpuprobe.workloads.cifar import workload_name
from gpuprobe.workloads.resolve import PICKLE, pickle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.records import Request
    from gpuprobe.strategies.registry import Strategy
    from gpuprobe.workloads.arrays import Arrays
    from gpuprobe.workloads.workload import Workload

# Samples in an epoch of CIFAR-10; times of an epoch are given for it, even if fewer samples are used.
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
    """Make a new study. A `workload` object is pickled into its folder, its functions by value, for the runs to load.

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
        further = _searched_too(strategies)
        found = _about(request, (*strategies, *further), images)
        # Before the folder is made: a driver may be slow to answer, and Ctrl-C then leaves no folder behind.
        machine = environment()
        where = folder.make(out, f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{_slug(found.name)}")
        if workload is not None:
            kept = where.resolve() / handed_over.name
            shutil.copy(handed_over, kept)
            request = msgspec.structs.replace(request, model=str(kept))
    study = Study(
        name=where.name,
        created_ns=time.time_ns(),
        command=command,
        environment=machine,
        workload=found.name,
        data_name=images.name if images else found.data,
        data_source=images.source if images else f"Its own data: {found.data}.",
        batch_size=found.batch_size,
        train_samples=found.samples,
        epoch_samples=EPOCH_SAMPLES if images else found.samples,
        counted=found.counted,
        strategies=tuple(strategy.info for strategy in strategies),
        request=msgspec.structs.replace(request, batch_size=found.batch_size),
        changes=tuple(strategy.info for strategy in further if strategy.name not in found.skip),
    )
    save(study, where / STUDY_FILE)
    _skip(study, where, {**_cannot_spread(study), **found.skip})
    return Begun(study, where, images)


def resume(where: Path, budget_s: float | None = None) -> Begun:
    """Resume the interrupted study in a folder; a `budget_s` replaces its own.

    Raises InputError where the folder holds no study, UsageError where it cannot be resumed here: it was measured on
    another machine, its data is missing, or it was simulated.
    """
    study = load_study(where)
    if budget_s is not None:
        study = msgspec.structs.replace(study, request=msgspec.structs.replace(study.request, budget_s=budget_s))
    then = study.environment
    if then.simulated:
        raise UsageError(f"{where}: is simulated, and nothing of it is left to measure")
    machine = environment()
    if (machine.cpu, machine.cores, machine.gpus) != (then.cpu, then.cores, then.gpus):
        raise UsageError(
            f"{where}: was measured on another machine ({then.cpu}, {wording.count(then.cores, 'core')}); go on "
            "there, or start a new study here"
        )
    folder.recover(where)
    images = find_images(study.request)
    if images is not None and (images.name, len(images.x)) != (study.data_name, study.train_samples):
        raise UsageError(f"{where}: was measured on {study.data_name}, which is not to be had now; start a new study")
    return Begun(study, where, images)


def find_images(request: Request) -> Arrays | None:
    """Return the ResNet's images, or None for a workload that has its own data."""
    return None if request.model else data.find(request.data, seed=request.seed, samples=request.samples)


def _searched_too(strategies: Sequence[Strategy]) -> tuple[Strategy, ...]:
    """Return the other strategies that a search may try.

    They are all of the catalogue, if a strategy of the study combines others; else none.
    """
    if not any(strategy.combines for strategy in strategies):
        return ()
    chosen = {strategy.name for strategy in strategies}
    return tuple(one for one in changes().values() if one.name not in chosen and one.what_if and not one.combines)


def _about(request: Request, strategies: Sequence[Strategy], images: Arrays | None) -> Survey:
    lacks = {strategy.name: why for strategy in strategies if (why := strategy.lacks(request.backend))}
    asked = [strategy for strategy in strategies if strategy.name not in lacks]
    if images is not None:
        name = workload_name(request.depth, images.name)
        return Survey(name=name, data=images.name, samples=len(images.x), batch_size=request.batch_size, skip=lacks)
    found = _surveyed(request, asked, "")
    skip = {**found.skip, **lacks}
    for backend in dict.fromkeys(strategy.backend for strategy in asked if strategy.backend):
        skip |= _cannot_under(request, asked, backend)
    return msgspec.structs.replace(found, skip=skip)


def _surveyed(request: Request, strategies: Sequence[Strategy], backend: str) -> Survey:
    """Survey the workload under the strategies of one backend; empty is the study's own."""
    question = Question(
        model=request.model,
        batch_size=request.batch_size or None,
        strategies=tuple(strategy.name for strategy in strategies if strategy.backend == backend),
        backend=backend or request.backend,
        against={strategy.name: strategy.against or "" for strategy in strategies},
    )
    return survey(question, request.limit_s)


def _cannot_under(request: Request, strategies: Sequence[Strategy], backend: str) -> dict[str, str]:
    """Return, by strategy, why those of another backend cannot train the workload."""
    try:
        return _surveyed(request, strategies, backend).skip
    except InputError as error:
        return {strategy.name: str(error) for strategy in strategies if strategy.backend == backend}


def _skip(study: Study, where: Path, reasons: dict[str, str]) -> None:
    """Return, by strategy, why it cannot be run in this study."""
    for info in study.strategies:
        if info.name in reasons:
            spec = RunSpec(
                strategy=info.name,
                round=1,
                seed=study.request.seed,
                batch_size=study.batch_size,
                model=study.request.model,
            )
            into = run_folder(where, spec.round, info.name)
            into.mkdir(parents=True)
            save(Run(spec=spec, outcome=Outcome(state="skipped", message=reasons[info.name])), into / RUN_FILE)


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
