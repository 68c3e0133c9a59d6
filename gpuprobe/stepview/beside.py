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

    A trace that cannot be read has no page; the report says why. Where a page cannot be written, all pages are removed,
    so that a full disk has room for the report, which is written next and matters more.
    """
    study_folders = studies(recording) if (recording / WATCH_FILE).is_file() else [recording]
    run_folders = [run_folder for study in study_folders for run_folder in sorted((study / RUNS_FOLDER).glob("*/"))]
    written_pages: list[Path] = []
    try:
        for run_folder in run_folders:
            if (run_folder / TRACE_FOLDER).is_dir():
                with suppress(InputError):
                    case = recorded(run_folder)
                    written_pages.append(write_page(run_folder, case, diagnose(case)))
    except OutputError:
        for page in written_pages:
            page.unlink(missing_ok=True)
        return []
    return written_pages


def write_page(run_folder: Path, case: Case, diagnosis: Diagnosis) -> Path:
    """Write the page of a run that has been diagnosed.

    Raises InputError where it has no trace, OutputError where the page cannot be written.
    """
    page = run_folder / STEP_FILE
    write_whole(page, render(view_of(case, diagnosis)))
    return page
