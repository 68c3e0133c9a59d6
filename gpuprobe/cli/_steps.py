"""Writes the pages of the steps of a recording beside its report, for who wants to look closer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.errors import OutputError
from gpuprobe.recording import STEP_FILE

if TYPE_CHECKING:
    from pathlib import Path


def write_steps(recording: Path) -> list[str]:
    """Write the page of each trace of a recording; return a line that says where they lie, none without a trace.

    A disk that is full has the report already, and loses no more than the pages.
    """
    from gpuprobe.stepview.beside import write_pages

    try:
        pages = write_pages(recording)
    except OutputError as error:
        return [f"Not all pages of the steps were written: {error}"]
    if not pages:
        return []
    where = pages[0] if len(pages) == 1 else pages[0].parent.parent / "*" / STEP_FILE
    return [f"Look into the steps: {where} ({wording.count(len(pages), 'page')})"]
