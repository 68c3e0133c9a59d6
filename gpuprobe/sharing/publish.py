"""Copies a study to a folder that is fit to publish: cleaned by rule, read again and proved, and whole or not there."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import OutputError
from gpuprobe.ranking.load import load
from gpuprobe.recording import (
    PROFILES_PATTERN,
    RANKING_FILE,
    RUN_FILE,
    RUNS_FOLDER,
    STUDY_FILE,
    TELEMETRY_FILE,
    TRACE_FOLDER,
    TRACE_LEFT_OUT,
    load_runs,
    load_study,
    search_file,
)
from gpuprobe.records import to_json
from gpuprobe.report.write import write
from gpuprobe.sharing import proof, rules, secrets
from gpuprobe.sharing.gather import gather
from gpuprobe.sharing.kinds import kind_of, short_system
from gpuprobe.sharing.touch import touch_of
from gpuprobe.traces.find import suffix_of, traces_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.records import Run, Study
    from gpuprobe.sharing.facts import Facts

# What the file of a trace is called instead of by its host.
HOST = "host"


def publish(study: Path, target: Path, *, traces: bool = True) -> None:
    """Copy the records, telemetry and traces of a study to a new folder, without what tells whose machine it was.

    Its report is written there too; without its traces it still tells what they say. Logs, events and pickled
    workloads are left behind. Raises InputError where the study or a trace is damaged, OutputError where the folder
    exists or cannot be written, or where the copy, read again, still holds something private: none is left then.
    """
    try:
        with _beside(target) as copy:
            sources = _sources(study)
            record, runs = load_study(study), load_runs(study)
            names = [folder.name for folder in runs]
            # What is known of the traces holds for what was said of them too.
            facts = gather([study, copy], record, runs.values(), names, sources.values())
            copied = {place: file for place, file in sources.items() if traces or TRACE_FOLDER not in place.parts}
            _Copy(copy, facts).make(study, copied, record, runs, traces=traces)
            if left := proof.found(copy, facts):
                raise OutputError(f"{target}: not written: {left}; share it with --no-traces, or clean the study")
            copy.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}: {error.filename or study})") from error


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a folder of the same name on the same disk, in one that goes, whatever happens."""
    if target.exists() or target.is_symlink():
        raise OutputError(f"{target}: exists already; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        copy = Path(scratch) / target.name
        copy.mkdir()
        yield copy


def _sources(study: Path) -> dict[Path, Path]:
    """Return the files to copy, by their place in the copy; of a trace, its host is left out of the name."""
    found = {Path(STUDY_FILE): study / STUDY_FILE}
    found |= {Path(file.name): file for file in sorted(study.glob(search_file(study, "*").name))}
    for run in load_runs(study):
        into = Path(RUNS_FOLDER) / run.name
        found |= {into / name: run / name for name in (RUN_FILE, TELEMETRY_FILE) if (run / name).is_file()}
        for session in sorted(run.glob(PROFILES_PATTERN)):
            files = traces_in(session) if session.is_dir() else []
            for number, file in enumerate(files, 1):
                host = HOST if len(files) == 1 else f"{HOST}-{number:0{len(str(len(files)))}}"
                found[into / session.relative_to(run) / f"{host}{suffix_of(file)}"] = file
    return found


class _Copy:
    """A copy while it is made: each file is written clean."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._folder = folder
        self._rules = rules.rules_of(facts)
        self._touch = touch_of(self._rules.needles, secrets.HINTS)

    def make(
        self, study: Path, sources: dict[Path, Path], record: Study, runs: dict[Path, Run], *, traces: bool
    ) -> None:
        public = {Path(STUDY_FILE): to_json(_public_study(record))}
        public |= {
            Path(RUNS_FOLDER) / run.name / RUN_FILE: to_json(_public_run(told, traces=traces))
            for run, told in runs.items()
        }
        for place, source in sources.items():
            self._write(place, public[place] if place in public else source.read_bytes())
        if not traces:
            self._write(Path(RANKING_FILE), to_json(load(study).ranking))
        write(self._folder)
        # A report names the folder that it was made of, and where its plots were drawn.
        for path in self._folder.rglob("*"):
            place = path.relative_to(self._folder)
            if path.is_file() and place not in sources:
                self._write(place, path.read_bytes())

    def _write(self, place: Path, content: bytes) -> None:
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kind_of(path).clean(content, self._touch, self._rules))


def _public_study(study: Study) -> Study:
    environment = msgspec.structs.replace(study.environment, system=short_system(study.environment.system))
    request = msgspec.structs.replace(
        study.request, data=_without_folder(study.request.data), model=_without_folder(study.request.model)
    )
    return msgspec.structs.replace(study, environment=environment, request=request)


def _public_run(run: Run, *, traces: bool) -> Run:
    spec = msgspec.structs.replace(run.spec, data="", model=_without_folder(run.spec.model))
    trace = run.trace
    if trace is not None and not traces:
        trace = msgspec.structs.replace(trace, path=None, missing=TRACE_LEFT_OUT)
    return msgspec.structs.replace(run, spec=spec, trace=trace)


def _without_folder(name: str) -> str:
    return Path(name).name if "/" in name else name
