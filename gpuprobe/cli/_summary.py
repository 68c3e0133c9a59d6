"""The output of a watch after its command has ended."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuprobe import wording
from gpuprobe.cli._answer import chart
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


def show(console: Console, report: WatchReport, folder: Path) -> None:
    """Print the verdict and the figures, then each training: wrapped in a terminal, a line each in a pipe."""
    record, verdict, leading = report.watch, report.verdict, leading_training(report.trainings)
    words = " ".join(shlex.join(record.command).split())
    short = words if len(words) <= COMMAND_WIDTH else words[: COMMAND_WIDTH - 3] + "..."
    if console.is_terminal:
        # The command, or a ^C, may have left the cursor within a line.
        console.print()
    ended = record.outcome.message if record.outcome else ""
    _line(console, "", f"gpuprobe watch: {short}" + (f"; {ended}" if ended else ""))
    _line(console, "", verdict.where)
    _answer(console, verdict)
    chart(console, answered(report).bars)
    for title, text in verdict.lines:
        _line(console, title, text, style="")
    for note in verdict.notes:
        _line(console, "Note", note + ".", style="yellow")
    for process in report.processes:
        _line(console, "", whole_run.headline(process))
        for line in whole_run.lines(process):
            times = f", {line.times} times" if line.times else ""
            _line(console, line.what, f"{line.time}, {line.share}{times}", style="")
    if leading is None:
        _line(console, "Not known", "without a trace: " + "; ".join(verdict.unknown) + ".", style="dim")
    show_trainings(console, report.trainings, folder)


def show_trainings(console: Console, trainings: Sequence[Training], folder: Path) -> None:
    """Print the trace of each training in a watch's folder, or why it has none."""
    leading = leading_training(trainings)
    for number, training in enumerate(trainings, start=1):
        if training.diagnosis is not None:
            title = f"Training {number} of {len(trainings)}" if len(trainings) > 1 else "Its training"
            _line(console, "", f"{title}, by {'its trace' if training.diagnosis.devices else 'the clock'}")
            for device in training.diagnosis.devices[:1]:
                _line(console, "Trace", breakdown.headline(device) + ".")
            if leading is not None and training is not leading and same_verdict(training, leading):
                _line(console, "Verdict", SAME_VERDICT, style="dim")
            elif training is not leading:
                _answer(console, findings.words(training.diagnosis))
            in_full = wording.command("gpuprobe", "diagnose", folder / training.folder, "--full")
            _line(console, "", f"All of it: {in_full}", style="dim")
    for why, count in Counter(training.missing for training in trainings if training.missing).items():
        _line(console, "Not diagnosed", f"{wording.count(count, 'training')}: {why}.", style="yellow")


def _answer(console: Console, words: Verdict | Words) -> None:
    for title, text in (("Verdict", words.verdict), ("Why", words.why), ("Next", words.next)):
        if text:
            _line(console, title, text)
    if words.code:
        console.print(words.code, markup=False, soft_wrap=True)


def _line(console: Console, title: str, text: str, style: str = "bold") -> None:
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
