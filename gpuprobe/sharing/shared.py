"""The files of a recording that are shared: of a study, or of a watch with its trainings."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.diagnosis.trainings import studies
from gpuprobe.recording import (
    FIT_FAILED_FILE,
    KERAS_SEEN,
    PROFILES_PATTERN,
    RUN_FILE,
    RUNS_FOLDER,
    STUDY_FILE,
    TELEMETRY_FILE,
    TRACE_FOLDER,
    TRACE_LEFT_OUT,
    TRAININGS_FOLDER,
    WALL_FILES,
    WATCH_FILE,
    load_runs,
    load_study,
    search_file,
)
from gpuprobe.records import Watch, load, to_json
from gpuprobe.sharing.kinds import short_system
from gpuprobe.traces.find import traces_in
from gpuprobe.traces.formats import ending_of

if TYPE_CHECKING:
    from gpuprobe.records import Environment, GpuInfo, Run, Study

# The name of a trace's file, in place of its host's name.
PLACEHOLDER_HOST = "host"
# A shorter name of a study may be an ordinary word, and is not searched for.
SHORTEST_STUDY_NAME = 8


@dataclass(frozen=True)
class Shared:
    """The shared files of a recording, and facts about its owner in its records.

    `files` are the files to copy, by path in the copy. `records` is the new content of those that are rewritten without
    fields that only their owner needs. `commands` are command lines, `targets` the files that the user named, and
    `marks` are strings that follow the path of the recording's folder in texts.
    """

    files: dict[Path, Path]
    records: dict[Path, bytes]
    commands: tuple[str, ...]
    targets: frozenset[str] = frozenset()
    gpus: tuple[GpuInfo, ...] = ()
    marks: tuple[str, ...] = ()


def is_watch(folder: Path) -> bool:
    """Return whether a folder holds a watch, not a study."""
    return (folder / WATCH_FILE).is_file()


def shared(folder: Path, *, traces: bool) -> Shared:
    """Return the shared part of a study or a watch. Raises InputError where it is neither, or is damaged."""
    return _shared_watch(folder, traces=traces) if is_watch(folder) else _shared_study(folder, traces=traces)


def _shared_watch(folder: Path, *, traces: bool) -> Shared:
    watch = load(Watch, folder / WATCH_FILE)
    watch_files = (
        WATCH_FILE,
        TELEMETRY_FILE,
        f"{TRAININGS_FOLDER}/{KERAS_SEEN}",
        f"{TRAININGS_FOLDER}/{FIT_FAILED_FILE}",
    )
    files = {Path(file_name): folder / file_name for file_name in watch_files if (folder / file_name).is_file()}
    # The files are numbered, since the process ids in their names are not shared.
    for wall_number, wall_file in enumerate(sorted((folder / TRAININGS_FOLDER).glob(WALL_FILES.format("*"))), 1):
        files[Path(TRAININGS_FOLDER) / WALL_FILES.format(wall_number)] = wall_file
    environment = _public_environment(watch.environment) if watch.environment else None
    records = {Path(WATCH_FILE): to_json(msgspec.structs.replace(watch, environment=environment))}
    trainings = {study: _shared_study(study, traces=traces) for study in studies(folder)}
    for study, training in trainings.items():
        training_folder = study.relative_to(folder)
        files |= {training_folder / path_in_training: file for path_in_training, file in training.files.items()}
        records |= {training_folder / path_in_training: record for path_in_training, record in training.records.items()}
    return Shared(
        files=files,
        records=records,
        commands=(
            shlex.join(watch.command),
            *(command for training in trainings.values() for command in training.commands),
        ),
        gpus=(
            *(watch.environment.gpus if watch.environment else ()),
            *(gpu for training in trainings.values() for gpu in training.gpus),
        ),
        marks=(f"/{TRAININGS_FOLDER}/", *_name_mark(watch.name)),
    )


def _shared_study(folder: Path, *, traces: bool) -> Shared:
    study, runs = load_study(folder), load_runs(folder)
    files = {Path(STUDY_FILE): folder / STUDY_FILE}
    files |= {Path(file.name): file for file in sorted(folder.glob(search_file(folder, "*").name))}
    for run in runs:
        files |= _shared_run(run, Path(RUNS_FOLDER) / run.name)
    records = {Path(STUDY_FILE): to_json(_public_study(study))}
    records |= {
        Path(RUNS_FOLDER) / run.name / RUN_FILE: to_json(_public_run(record, traces=traces))
        for run, record in runs.items()
    }
    return Shared(
        files=files,
        records=records,
        commands=(study.command,),
        targets=frozenset((study.request.data, study.request.model, *(record.spec.model for record in runs.values()))),
        gpus=study.environment.gpus,
        marks=(*(f"/{RUNS_FOLDER}/{run.name}" for run in runs), *_name_mark(study.name)),
    )


def _shared_run(run: Path, run_in_copy: Path) -> dict[Path, Path]:
    """Return the files of a run by path in the copy; a trace's file name loses its host."""
    file_by_path_in_copy = {
        run_in_copy / name: run / name for name in (RUN_FILE, TELEMETRY_FILE) if (run / name).is_file()
    }
    for session in sorted(run.glob(PROFILES_PATTERN)):
        files = traces_in(session) if session.is_dir() else []
        for file_number, file in enumerate(files, 1):
            placeholder_host = (
                PLACEHOLDER_HOST if len(files) == 1 else f"{PLACEHOLDER_HOST}-{file_number:0{len(str(len(files)))}}"
            )
            file_by_path_in_copy[
                run_in_copy / session.relative_to(run) / f"{placeholder_host}{ending_of(file.name)}"
            ] = file
    return file_by_path_in_copy


def is_of_a_trace(path_in_copy: Path) -> bool:
    """Return whether a file of the copy is part of a trace."""
    return TRACE_FOLDER in path_in_copy.parts


def _name_mark(name: str) -> tuple[str, ...]:
    return (f"/{name}",) if len(name) >= SHORTEST_STUDY_NAME else ()


def _public_study(study: Study) -> Study:
    request = msgspec.structs.replace(
        study.request, data=_without_folder(study.request.data), model=_without_folder(study.request.model)
    )
    return msgspec.structs.replace(study, environment=_public_environment(study.environment), request=request)


def _public_environment(environment: Environment) -> Environment:
    return msgspec.structs.replace(environment, system=short_system(environment.system))


def _public_run(run: Run, *, traces: bool) -> Run:
    spec = msgspec.structs.replace(run.spec, data="", model=_without_folder(run.spec.model))
    trace = run.trace
    if trace is not None and not traces:
        trace = msgspec.structs.replace(trace, path=None, missing=TRACE_LEFT_OUT)
    return msgspec.structs.replace(run, spec=spec, trace=trace)


def _without_folder(name: str) -> str:
    return Path(name).name if "/" in name else name
