"""Writes the step pages of a recording, to which its report links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.recording import STEP_FILE

if TYPE_CHECKING:
    from pathlib import Path


def write_steps(recording: Path) -> list[str]:
    """Write the page of each trace of a recording; return a line with their place, empty without a trace.

    Call it before the report is written, which links to the pages.
    """
    from gpuprobe.stepview.beside import write_pages

    pages = write_pages(recording)
    if not pages:
        return []
    where = pages[0] if len(pages) == 1 else pages[0].parent.parent / "*" / STEP_FILE
    return [f"Look into the steps: {where} ({wording.count(len(pages), 'page')})"]
