"""The output of a watch after its command has ended."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuprobe import wording
from gpuprobe.cli._answer import print_chart
from gpuprobe.diagnosis.trainings import leading_training, same_verdict
from gpuprobe.report import breakdown, findings, whole_run
from gpuprobe.report.watch import SAME_VERDICT, answered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from gpuprobe.diagnosis.trainings import Training
    from gpuprobe.report.findings import Words
    from gpuprobe.report.watch import WatchReport
    from gpuprobe.watch.verdict import Verdict

COMMAND_WIDTH = 60


def print_summary(console: Console, report: WatchReport, folder: Path) -> None:
    """Print the verdict and the figures, then each training: wrapped in a terminal, a line each in a pipe."""
    record, verdict, leading = report.watch, report.verdict, leading_training(report.trainings)
    command_words = " ".join(shlex.join(record.command).split())
    shown_command = command_words if len(command_words) <= COMMAND_WIDTH else command_words[: COMMAND_WIDTH - 3] + "..."
    if console.is_terminal:
        # The command, or a ^C, may have left the cursor within a line.
        console.print()
    outcome_message = record.outcome.message if record.outcome else ""
    _print_line(console, "", f"gpuprobe watch: {shown_command}" + (f"; {outcome_message}" if outcome_message else ""))
    _print_line(console, "", verdict.where)
    _print_answer(console, verdict)
    print_chart(console, answered(report).bars)
    for title, figures in verdict.lines:
        _print_line(console, title, figures, style="")
    for note in verdict.notes:
        _print_line(console, "Note", note + ".", style="yellow")
    for process in report.processes:
        _print_line(console, "", whole_run.run_headline(process))
        for run_part in whole_run.run_part_lines(process):
            times_words = f", {run_part.times} times" if run_part.times else ""
            _print_line(console, run_part.what, f"{run_part.time}, {run_part.share}{times_words}", style="")
    if leading is None:
        _print_line(console, "Not known", "without a trace: " + "; ".join(verdict.unknown) + ".", style="dim")
    print_trainings(console, report.trainings, folder)


def print_trainings(console: Console, trainings: Sequence[Training], folder: Path) -> None:
    """Print the trace of each training in a watch's folder, or why it has none."""
    leading = leading_training(trainings)
    for training_number, training in enumerate(trainings, start=1):
        if training.diagnosis is not None:
            title = f"Training {training_number} of {len(trainings)}" if len(trainings) > 1 else "Its training"
            _print_line(console, "", f"{title}, by {'its trace' if training.diagnosis.devices else 'the clock'}")
            for device in training.diagnosis.devices[:1]:
                _print_line(console, "Trace", breakdown.device_headline(device) + ".")
            if leading is not None and training is not leading and same_verdict(training, leading):
                _print_line(console, "Verdict", SAME_VERDICT, style="dim")
            elif training is not leading:
                _print_answer(console, findings.diagnosis_in_words(training.diagnosis))
            full_command = wording.command("gpuprobe", "diagnose", folder / training.folder, "--full")
            _print_line(console, "", f"All of it: {full_command}", style="dim")
    for missing_reason, training_count in Counter(
        training.missing for training in trainings if training.missing
    ).items():
        _print_line(
            console, "Not diagnosed", f"{wording.count(training_count, 'training')}: {missing_reason}.", style="yellow"
        )


def _print_answer(console: Console, words: Verdict | Words) -> None:
    for title, sentence in (("Verdict", words.verdict), ("Why", words.why), ("Next", words.next)):
        if sentence:
            _print_line(console, title, sentence)
    if words.code:
        console.print(words.code, markup=False, soft_wrap=True)


def _print_line(console: Console, title: str, text: str, style: str = "bold") -> None:
    if not console.is_terminal:
        console.print(f"{title}: {text}" if title else text, markup=False, soft_wrap=True)
        return
    if not title:
        console.print(Text(text, style))
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=18, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(title, style), Text(text, "dim" if style == "dim" else ""))
    console.print(Padding(grid, (0, 0, 0, 2)))
