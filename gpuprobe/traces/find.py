"""Finds the trace files for a path: a log folder, a run of gpuprobe, one profiling session's folder, or one file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.recording import PROFILES_PATTERN, RUNS_FOLDER, SPEC_FILE, TRAININGS_FOLDER, spec_of
from gpuprobe.traces.at_one_time import at_one_time, some
from gpuprobe.traces.formats import FORMATS, ending_of, is_named_as_a_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpuprobe.records import RunSpec

# Where profiles lie below the named folder: in TensorBoard's layout, from Keras's callback (`train`), and in a run of
# gpuprobe (`trace`).
PLACES = ("plugins/profile", "train/plugins/profile", "trace/plugins/profile")
# The same, where the named folder is itself a part of that path.
WITHIN = {"plugins": "profile", "profile": "."}
# How many folders are searched for a trace elsewhere, to name it in the error.
LOOKED_THROUGH = 2000
# How many are searched for all traces of a log folder, which may hold many trainings.
LOOKED_THROUGH_FOR_ALL = 20_000
LAYOUT = "a profile lies in LOGDIR/plugins/profile/RUN/HOST.xplane.pb; name LOGDIR, that RUN folder, or the file"


@dataclass(frozen=True)
class Found:
    """The trace files of a path, and warnings.

    `ranks` is how many processes the folders of a job's workers show if some were left out, else 0.
    """

    files: list[Path]
    warnings: list[str] = field(default_factory=list)
    ranks: int = 0


def find(path: Path) -> Found:
    """Return the files of one profiling session, one for each host.

    Of several sessions the newest is taken. Raises InputError where there is none.
    """
    if path.is_file():
        return Found([path])
    if not path.is_dir():
        what = "it is neither a file nor a folder" if path.exists() else "there is no such file or folder"
        raise InputError(f"{path}: {what}")
    try:
        sessions = _sessions(path)
        if not sessions:
            return _of_workers(path)
        newest = _newest(sessions)
        files = traces_in(newest)
    except OSError as error:
        raise InputError(f"{path}: cannot be looked through ({error.strerror}: {error.filename})") from error
    if len(sessions) == 1:
        return Found(files)
    return Found(files, [f"{path} holds {len(sessions)} profiles; the newest is read: {newest}"])


def traces_in(folder: Path) -> list[Path]:
    """Return the trace files directly in a folder, all of one format: the first in `FORMATS` that has any."""
    files = sorted(entry for entry in folder.iterdir() if entry.is_file())
    by_format = (
        [file for file in files if file.name.endswith(tuple(trace_format.endings))] for trace_format in FORMATS
    )
    return next((traces for traces in by_format if traces), [])


def sessions_below(path: Path) -> Iterator[Path]:
    """Yield every folder below that holds a trace, the path itself and linked folders included, sorted by name.

    A folder that cannot be read is skipped. At most 20,000 folders are searched.
    """
    seen: set[tuple[int, int] | None] = {None}
    for folder, folders, files in islice(os.walk(path, followlinks=True), LOOKED_THROUGH_FOR_ALL):
        folders.sort()
        if any(map(is_named_as_a_trace, files)):
            yield Path(folder)
        # A link may lead back to a folder above.
        known = {name: _identity(Path(folder, name)) for name in folders}
        folders[:] = [name for name in folders if known[name] not in seen]
        seen.update(known.values())


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return the device and inode of a folder, None where it cannot be read."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def called_apart(hosts: Sequence[str], files: Sequence[Path]) -> list[str]:
    """Return a name for each file's host, no two the same.

    It is that of its task in TF_CONFIG, where recordings of gpuprobe know it for all; else the host's, or the file's or
    folder's where several hosts have the same, as two workers on one machine have.
    """
    tasks = [_task_of(file) for file in files]
    if all(tasks) and len(set(tasks)) == len(files) > 1:
        return tasks
    stems = [file.name.removesuffix(ending_of(file.name)) for file in files]
    if len(set(stems)) < len(stems):
        # The files' names are equal too: use the first level of the path at which all folders differ.
        levels = list(zip(*(file.parts[:-1] for file in files), strict=False))
        stems = list(next((level for level in levels if len(set(level)) == len(files)), stems))
    named = [stem if hosts.count(host) > 1 else host for host, stem in zip(hosts, stems, strict=True)]
    return [
        f"{name} ({named[:index].count(name) + 1})" if named.count(name) > 1 else name
        for index, name in enumerate(named)
    ]


def ranks_of(file: Path) -> int:
    """Return how many processes the job that a trace is of has, 0 where no recording says."""
    spec = _spec_of(file)
    if spec is None:
        return 0
    return len(spec.job.workers) if spec.job is not None else spec.ranks


def _task_of(file: Path) -> str:
    """Return what TF_CONFIG called the process that a trace is of, empty where no recording says."""
    spec = _spec_of(file)
    return spec.task if spec is not None else ""


def _spec_of(file: Path) -> RunSpec | None:
    """Return the spec of the run whose trace lies in a file, None where that is no recording of gpuprobe."""
    run = next(iter(file.parents[PROFILES_PATTERN.count("/") + 1 :]), None)
    return spec_of(run) if run is not None and (run / SPEC_FILE).is_file() else None


def _sessions(path: Path) -> list[Path]:
    if traces_in(path):
        return [path]
    for index in (*PLACES, *([WITHIN[path.name]] if path.name in WITHIN else [])):
        folder = path / index
        if folder.is_dir():
            sessions = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and traces_in(entry)]
            if sessions:
                return sessions
    return []


def _of_workers(path: Path) -> Found:
    """Return the newest profile of each worker, one folder below, if most were taken at the same time.

    The others are left out. Raises InputError where there are no such profiles.
    """
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    newest = {
        folder.name: _newest(sessions) for folder in folders if (sessions := _sessions(folder) or _recorded(folder))
    }
    job = at_one_time(newest)
    if not job.is_job:
        differ = f"; the newest profiles of its folders are of different times: {some(job.apart)}"
        raise InputError(_nothing(path) + (differ if len(newest) > 1 else ""))
    files = [file for session in job.sessions.values() for file in traces_in(session)]
    zones = [f"Taken to be of one time, in other time zones: {some(job.zones)}."] if job.zones else []
    left = [
        f"Left out: {path / name}, whose newest profile is of another time ({words})."
        for name, words in job.apart.items()
    ]
    return Found(files, [*zones, *left], len(files) + len(left) if left else 0)


def _recorded(watch: Path) -> list[Path]:
    """Return the profiles in a folder of `gpuprobe watch --trace`, or of studies."""
    patterns = [f"{where}*/{RUNS_FOLDER}/*/{PROFILES_PATTERN}" for where in (f"{TRAININGS_FOLDER}/", "")]
    recorded = sorted(folder for pattern in patterns for folder in watch.glob(pattern))
    return [folder for folder in recorded if folder.is_dir() and traces_in(folder)]


def _newest(sessions: Sequence[Path]) -> Path:
    return max(sessions, key=lambda folder: (folder.name, _changed_ns(folder)))


def _nothing(path: Path) -> str:
    elsewhere = next(_below(path), None)
    if elsewhere is None:
        # Files with such names may be traces or not: one is suggested and not read.
        others = tuple(ending for trace_format in FORMATS for ending in trace_format.others)
        other = next((file for file in sorted(path.iterdir()) if file.is_file() and file.name.endswith(others)), None)
        return f"{path}: no profile data was found; " + (f"if {other} is a trace, name it" if other else LAYOUT)
    return f"{path}: no profile where TensorBoard keeps them, but there is one below; name {elsewhere}"


def _below(path: Path) -> Iterator[Path]:
    for folder, folders, files in islice(os.walk(path), LOOKED_THROUGH):
        folders.sort()
        if any(map(is_named_as_a_trace, files)):
            yield Path(folder)


def _changed_ns(folder: Path) -> int:
    return max((file.stat().st_mtime_ns for file in traces_in(folder)), default=0)
