"""The folder of a study: made once, locked by one process at a time, and recovered after a crash."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import GpuprobeError, OutputError
from gpuprobe.measure.run_in_progress import run_of_events
from gpuprobe.recording import RUN_FILE, RUNS_FOLDER, SPEC_FILE, spec_of
from gpuprobe.records import Outcome, Run, load, save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = ".lock"
# The message in the record of a run that has been measured and stays alive to take turns.
STILL_TAKES_TURNS = "it takes turns with the others"


def make(parent: Path, name: str) -> Path:
    """Make the folder of a new study, numbered where the name is taken. Raises OutputError where that fails."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = parent / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise OutputError(f"{parent}: cannot be written ({error.strerror}); name another with --out") from error
    raise OutputError(f"{parent}: holds a thousand studies named {name}")


class FolderGuard:
    """Notices when somebody deletes or renames a folder that is written to."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._was = folder, _folder_identity(folder)

    def check(self) -> None:
        """Raise OutputError where its path now holds another folder, or none."""
        if self._was is None or _folder_identity(self._folder) != self._was:
            raise OutputError(
                f"{self._folder}: was deleted or renamed while gpuprobe wrote into it; "
                "leave it in place until gpuprobe ends"
            )


def _folder_identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a study's folder, so that no second process measures into it.

    Raises OutputError where another process holds the lock. An error in the `with` block becomes an OutputError where
    the folder is gone.
    """
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise OutputError(
            f"{folder}: another gpuprobe is measuring into it; wait until it ends, or start a new study"
        ) from error
    guard = FolderGuard(folder)
    try:
        yield
    except Exception:
        # Where the folder is gone, that is the cause of the error.
        guard.check()
        raise
    finally:
        os.close(lock)


def _took_turns(run: Path) -> bool:
    try:
        return load(Run, run / RUN_FILE).outcome.message == STILL_TAKES_TURNS
    except GpuprobeError:
        return False


def recover(folder: Path) -> list[Path]:
    """Write the final records of runs whose parent process crashed; return their folders.

    Turns that were taken after a run's record was written are added to it. A study that another process has locked is
    left as it is.
    """
    recovered_runs = []
    try:
        with locked(folder):
            for spec_file in sorted((folder / RUNS_FOLDER).glob(f"*/{SPEC_FILE}")):
                if not (spec_file.parent / RUN_FILE).exists() or _took_turns(spec_file.parent):
                    outcome = Outcome(state="interrupted", message="gpuprobe ended before this run did")
                    # The addresses of its workers are of no use to those who read its record.
                    spec_without_job = msgspec.structs.replace(spec_of(spec_file.parent), job=None)
                    save(run_of_events(spec_file.parent, spec_without_job, outcome), spec_file.parent / RUN_FILE)
                    recovered_runs.append(spec_file.parent)
    except GpuprobeError:
        # A folder that is read-only or locked stays as it is.
        return recovered_runs
    return recovered_runs
