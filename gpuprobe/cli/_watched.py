"""After a watched command has ended: its trainings are diagnosed, and the summary is printed.

The exit code stays the command's, whatever fails here; so heavy modules are imported where a failure is caught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.cli._ends import say

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from gpuprobe.diagnosis.trainings import Training
    from gpuprobe.records import Watch


def conclude(record: Watch, folder: Path, trouble: str) -> None:
    """Diagnose the command's trainings, and print the summary on stderr; a failure of that is one line there.

    `trouble` is what kept the recording from being complete, empty where nothing did.
    """
    from gpuprobe.errors import in_short

    try:
        _print_summary(record, folder, trouble)
    except OSError:
        # The reader of stderr may be gone, and nobody is left to tell.
        return
    except KeyboardInterrupt:
        say(f"gpuprobe: the summary was stopped; {_again(folder)} makes it")
    except Exception as error:  # noqa: BLE001 - nothing of ours may change the command's exit code
        say(f"gpuprobe: the summary failed ({in_short(error)}); {_again(folder)} makes it")


def _print_summary(record: Watch, folder: Path, trouble: str) -> None:
    from gpuprobe.cli._steps import write_steps
    from gpuprobe.cli._summary import show, show_trainings
    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.diagnosis.trainings import why_none
    from gpuprobe.errors import InputError
    from gpuprobe.report.watch import reported

    console = Terminal(stderr=True, highlight=False)
    trainings = _diagnosed(console, folder)
    try:
        show(console, reported(folder, record, trainings), folder)
    except InputError as error:
        _say(console, f"gpuprobe: nothing to sum up: {error}")
        show_trainings(console, trainings, folder)
    why = why_none(folder)
    if why:
        _say(console, f"No training was traced: {why}.")
    if trouble:
        _say(console, f"gpuprobe: the recording is not complete: {trouble}")
    else:
        _say(console, f"Recording: {folder}; {_again(folder)} writes a report of it")
    if any(training.diagnosis is not None for training in trainings):
        for line in write_steps(folder):
            _say(console, line)


def _diagnosed(console: Console, folder: Path) -> tuple[Training, ...]:
    """Diagnose the trainings of the command; where that fails or is stopped, say so and return none."""
    from gpuprobe.diagnosis.trainings import read_trainings, studies
    from gpuprobe.measure.folder import recover

    try:
        for study in studies(folder):
            recover(study)
        return read_trainings(folder)
    except KeyboardInterrupt:
        _say(console, f"gpuprobe: the diagnosis was stopped; {_again(folder)} makes it")
    except Exception as error:  # noqa: BLE001 - nothing of ours may change the command's exit code
        _say(console, f"gpuprobe: the trainings were not diagnosed ({type(error).__name__}: {error})")
    return ()


def _again(folder: Path) -> str:
    from gpuprobe import wording

    return wording.command("gpuprobe", "report", folder)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
