"""Diagnoses the trainings of a watched command after its end, and prints the summary.

The exit code stays the command's, whatever fails here. So heavy modules are imported where a failure is caught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.cli._ends import say

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from gpuprobe.diagnosis.trainings import Training
    from gpuprobe.records import Watch


def conclude_watch(record: Watch, folder: Path, trouble: str) -> None:
    """Diagnose the command's trainings, and print the summary on stderr; a failure of that is one line there.

    `trouble` is why the recording is not complete; empty where it is.
    """
    from gpuprobe.errors import in_short

    try:
        _print_summary(record, folder, trouble)
    except OSError:
        # The reader of stderr may be gone; then the failure cannot be printed.
        return
    except KeyboardInterrupt:
        say(f"gpuprobe: the summary was stopped; {_report_command(folder)} makes it")
    except Exception as error:  # noqa: BLE001 - gpuprobe must not change the command's exit code
        say(f"gpuprobe: the summary failed ({in_short(error)}); {_report_command(folder)} makes it")


def _print_summary(record: Watch, folder: Path, trouble: str) -> None:
    from gpuprobe.cli._steps import write_step_pages
    from gpuprobe.cli._summary import print_summary, print_trainings
    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.diagnosis.trainings import why_none
    from gpuprobe.errors import InputError
    from gpuprobe.report.watch import reported

    console = Terminal(stderr=True, highlight=False)
    trainings = _diagnosed_trainings(console, folder)
    try:
        print_summary(console, reported(folder, record, trainings), folder)
    except InputError as error:
        _print_line(console, f"gpuprobe: nothing to sum up: {error}")
        print_trainings(console, trainings, folder)
    why_no_training = why_none(folder)
    if why_no_training:
        _print_line(console, f"No training was traced: {why_no_training}.")
    if trouble:
        _print_line(console, f"gpuprobe: the recording is not complete: {trouble}")
    else:
        _print_line(console, f"Recording: {folder}; {_report_command(folder)} writes a report of it")
    if any(training.diagnosis is not None for training in trainings):
        for step_page_line in write_step_pages(folder):
            _print_line(console, step_page_line)


def _diagnosed_trainings(console: Console, folder: Path) -> tuple[Training, ...]:
    """Diagnose the trainings of the command; where that fails or is stopped, say so and return none."""
    from gpuprobe.diagnosis.trainings import read_trainings, studies
    from gpuprobe.measure.folder import recover

    try:
        for study in studies(folder):
            recover(study)
        return read_trainings(folder)
    except KeyboardInterrupt:
        _print_line(console, f"gpuprobe: the diagnosis was stopped; {_report_command(folder)} makes it")
    except Exception as error:  # noqa: BLE001 - gpuprobe must not change the command's exit code
        _print_line(console, f"gpuprobe: the trainings were not diagnosed ({type(error).__name__}: {error})")
    return ()


def _report_command(folder: Path) -> str:
    from gpuprobe import wording

    return wording.command("gpuprobe", "report", folder)


def _print_line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
