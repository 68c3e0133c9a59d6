"""Folders that a command makes for its output."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpuprobe.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make an output folder; an existing one must be empty. Raises OutputError where it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        holds_files = any(folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    if holds_files:
        raise OutputError(f"{folder}: is not empty; name a new folder")
    try:
        yield
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
