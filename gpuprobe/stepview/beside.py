"""Writes the step page of each trace of a recording into the folder of its run."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.diagnosis.trainings import studies
from gpuprobe.errors import InputError, OutputError
from gpuprobe.recording import RUNS_FOLDER, STEP_FILE, TRACE_FOLDER, WATCH_FILE
from gpuprobe.records import write_whole
from gpuprobe.stepview.page import render
from gpuprobe.stepview.view import view_of

if TYPE_CHECKING:
    from pathlib import Path

    from gpuprobe.diagnosis.case import Case
    from gpuprobe.diagnosis.records import Diagnosis


def write_pages(recording: Path) -> list[Path]:
    """Write the page of each run of a study or a watch that has a trace, and return them in the order of the runs.

    A trace that cannot be read has no page; the report says why. Where a page cannot be written, all pages are removed:
    on a full disk the report, which is written next, is more important.
    """
    folders = studies(recording) if (recording / WATCH_FILE).is_file() else [recording]
    runs = [run for study in folders for run in sorted((study / RUNS_FOLDER).glob("*/"))]
    written: list[Path] = []
    try:
        for run in runs:
            if (run / TRACE_FOLDER).is_dir():
                with suppress(InputError):
                    case = recorded(run)
                    written.append(write_page(run, case, diagnose(case)))
    except OutputError:
        for page in written:
            page.unlink(missing_ok=True)
        return []
    return written


def write_page(run: Path, case: Case, diagnosis: Diagnosis) -> Path:
    """Write the page of a run that has been diagnosed.

    Raises InputError where it has no trace, OutputError where the page cannot be written.
    """
    page = run / STEP_FILE
    write_whole(page, render(view_of(case, diagnosis)))
    return page
