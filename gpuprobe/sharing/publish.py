"""Copies a recording to a folder to publish: the copy is cleaned by rules and searched; if it fails, it is removed."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError
from gpuprobe.ranking.load import load
from gpuprobe.recording import RANKING_FILE, TRAININGS_FOLDER
from gpuprobe.records import to_json
from gpuprobe.report.watch import load_report, write_watch
from gpuprobe.report.write import write
from gpuprobe.scratch import scratch_in
from gpuprobe.sharing import proof, rules, secrets
from gpuprobe.sharing.gather import gather
from gpuprobe.sharing.kinds import kind_of
from gpuprobe.sharing.prefilter import prefilter_of
from gpuprobe.sharing.shared import is_of_a_trace, is_watch, shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpuprobe.sharing.facts import Facts
    from gpuprobe.sharing.shared import Shared

# The prefix of the hidden folder in which a copy is made.
SCRATCH_PREFIX = ".gpuprobe-share-"


def publish(recording: Path, target: Path, *, traces: bool = True) -> None:
    """Copy the records, telemetry and traces of a study or a watch to a new folder, without identifying facts.

    The report is written there too; without `traces` it still holds the diagnosis made from them. Logs, events and
    pickled workloads are not copied. Raises InputError where the recording or a trace is damaged; OutputError where the
    folder exists or cannot be written, or where the copy still holds a fact, and is removed.
    """
    try:
        with _unfinished_copy(target) as copy:
            shared_copy = shared(recording, traces=traces)
            # Facts that are found in the traces are replaced in the reports too.
            facts = gather([recording, copy], shared_copy)
            _Copy(copy, facts).make(recording, shared_copy, traces=traces)
            if fact_left := proof.leftover(copy, facts):
                raise OutputError(
                    f"{target}: not written: {fact_left}; share it with --no-traces, or clean the recording"
                )
            copy.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror}: {error.filename or recording})") from error


@contextmanager
def _unfinished_copy(target: Path) -> Iterator[Path]:
    """Yield a new folder with the target's name on the same disk, in a hidden folder that is removed at the end."""
    if target.exists() or target.is_symlink():
        raise OutputError(f"{target}: exists already; name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_in(target.parent, SCRATCH_PREFIX) as scratch:
        copy = scratch / target.name
        copy.mkdir()
        yield copy


class _Copy:
    """A copy in progress: each file is cleaned as it is written."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self._folder = folder
        self._rules = rules.rules_of(facts)
        self._prefilter = prefilter_of(self._rules.needles, secrets.HINTS)

    def make(self, recording: Path, contents: Shared, *, traces: bool) -> None:
        copied_paths = [path_in_copy for path_in_copy in contents.files if traces or not is_of_a_trace(path_in_copy)]
        for path_in_copy in copied_paths:
            self._write(path_in_copy, contents.records.get(path_in_copy) or contents.files[path_in_copy].read_bytes())
        if is_watch(recording):
            self._tell_watch(recording, traces=traces)
        else:
            self._tell_study(recording, traces=traces)
        # The report names the copy's temporary folder, so clean its files too.
        for path in self._folder.rglob("*"):
            path_in_copy = path.relative_to(self._folder)
            if path.is_file() and path_in_copy not in copied_paths:
                self._write(path_in_copy, path.read_bytes())

    def _tell_study(self, study: Path, *, traces: bool) -> None:
        if not traces:
            self._write(Path(RANKING_FILE), to_json(load(study).ranking))
        write(self._folder)

    def _tell_watch(self, watch: Path, *, traces: bool) -> None:
        if (watch / TRAININGS_FOLDER).is_dir():
            # This folder shows that `watch` ran with --trace, even where there was no training.
            (self._folder / TRAININGS_FOLDER).mkdir(exist_ok=True)
        if not traces:
            self._write(Path(RANKING_FILE), to_json(load_report(watch)))
        write_watch(self._folder)

    def _write(self, path_in_copy: Path, content: bytes) -> None:
        path = self._folder / path_in_copy
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kind_of(path).clean(content, self._prefilter, self._rules))
