"""Writes the step pages of a recording; its report links to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.recording import STEP_FILE

if TYPE_CHECKING:
    from pathlib import Path


def write_step_pages(recording: Path) -> list[str]:
    """Write the page of each trace of a recording; return a line that says where they are, no line without a trace.

    Call it before the report is written, since the report links to the pages.
    """
    from gpuprobe.stepview.beside import write_pages

    step_pages = write_pages(recording)
    if not step_pages:
        return []
    pages_path = step_pages[0] if len(step_pages) == 1 else step_pages[0].parent.parent / "*" / STEP_FILE
    return [f"Look into the steps: {pages_path} ({wording.count(len(step_pages), 'page')})"]
