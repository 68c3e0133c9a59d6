"""Temporary folders, which go when their block ends, and at the next start where their process was killed.

In each lies a file that its process holds locked for as long as it lives: the kernel lets go of it however that ends.
So the owner is known whatever numbers processes have, in a container that shares the folder with others as well.
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
        folder, lock = _made(Path(tempfile.gettempdir()), PREFIX)
    except OSError as error:
        raise OutputError(
            f"no temporary folder can be made ({error.strerror or error}); name a place for it: TMPDIR=..."
        ) from error
    with _going(folder, lock):
        yield folder


@contextmanager
def held(where: Path, prefix: str) -> Iterator[Path]:
    """Give a block a folder in another one, as `scratch` does. Raises OSError where none can be made."""
    folder, lock = _made(where, prefix)
    with _going(folder, lock):
        yield folder


def _made(where: Path, prefix: str) -> tuple[Path, int]:
    """Clear what killed processes left there, and make a folder; return it, and the descriptor of its locked file."""
    _clear(where, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    return folder, _own(folder)


@contextmanager
def _going(folder: Path, lock: int) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _own(folder: Path) -> int:
    """Put the locked file there, under its name only once it is locked; return its descriptor."""
    made = folder / f"{OWNER}.new"
    lock = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    made.rename(folder / OWNER)
    return lock


def _clear(where: Path, prefix: str) -> None:
    """Remove the folders of ours there whose owner has ended."""
    for folder in where.glob(f"{prefix}*/"):
        with suppress(OSError):
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                _remove_left(folder)


def _remove_left(folder: Path) -> None:
    """Remove a folder unless it is no scratch folder or its owner lives, both of which raise OSError."""
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
