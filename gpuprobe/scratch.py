"""Temporary folders, removed when their block ends, or at the next start where their process was killed.

Each holds a file that its process keeps locked: the kernel releases the lock however the process ends. So a living
owner is recognised without process ids, which differ between containers that share the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "gpuprobe-"
OWNER = ".owner"


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a block a temporary folder; leftovers of killed processes go first.

    Raises OutputError where none can be made.
    """
    try:
        folder, lock = _make_locked(Path(tempfile.gettempdir()), PREFIX)
    except OSError as error:
        raise OutputError(
            f"no temporary folder can be made ({error.strerror or error}); name a place for it: TMPDIR=..."
        ) from error
    with _removed_after(folder, lock):
        yield folder


@contextmanager
def scratch_in(where: Path, prefix: str) -> Iterator[Path]:
    """Give a block a folder in another one, as `scratch` does. Raises OSError where none can be made."""
    folder, lock = _make_locked(where, prefix)
    with _removed_after(folder, lock):
        yield folder


def _make_locked(where: Path, prefix: str) -> tuple[Path, int]:
    """Remove the folders of killed processes there, and make one; return it, and the descriptor of its locked file."""
    _clear_abandoned(where, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    return folder, _lock(folder)


@contextmanager
def _removed_after(folder: Path, lock: int) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int:
    """Make the locked file, which gets its name once it is locked; return its descriptor."""
    unlocked = folder / f"{OWNER}.new"
    lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unlocked.rename(folder / OWNER)
    return lock


def _clear_abandoned(where: Path, prefix: str) -> None:
    """Remove this user's scratch folders there whose owner has ended."""
    for folder in where.glob(f"{prefix}*/"):
        with suppress(OSError):
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                _remove_abandoned(folder)


def _remove_abandoned(folder: Path) -> None:
    """Remove a scratch folder. Raises OSError where it is no scratch folder, or its owner lives."""
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
