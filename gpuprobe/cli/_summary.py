"""What a watch prints when its command has ended."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpuprobe import wording
from gpuprobe.report import account

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.records import Watch
    from gpuprobe.report.trainings import Training
    from gpuprobe.watch.verdict import Verdict

COMMAND_WIDTH = 60


def show(console: Console, record: Watch, verdict: Verdict, *, traced: bool = False, asked: bool = False) -> None:
    """Print the figures and the verdict; wrapped in a terminal, a line each in a pipe.

    Where its training was `traced`, the trace says what to do, and knows what telemetry cannot. Where a trace was
    `asked` for and did not come about, nobody is told to take one.
    """
    words = " ".join(shlex.join(record.command).split())
    short = words if len(words) <= COMMAND_WIDTH else words[: COMMAND_WIDTH - 3] + "..."
    if console.is_terminal:
        # The command, or the ^C of its end, may have left the cursor within a line.
        console.print()
    ended = record.outcome.message if record.outcome else ""
    _line(console, "", f"gpuprobe watch: {short}" + (f"; {ended}" if ended else ""))
    _line(console, "", verdict.where)
    for title, text in verdict.lines:
        _line(console, title, text, style="")
    following = "" if traced or (asked and _only_a_trace_helps(verdict)) else verdict.next
    first = "By telemetry" if traced else "Verdict"
    for title, text in ((first, verdict.verdict), ("Why", verdict.why), ("Next", following)):
        if text:
            _line(console, title, text, style="bold")
    for note in verdict.notes:
        _line(console, "Note", note + ".", style="yellow")
    if not traced:
        _line(console, "Not known", "without a trace: " + "; ".join(verdict.unknown) + ".", style="dim")


def _only_a_trace_helps(verdict: Verdict) -> bool:
    return any(finding.primary and finding.cause == "unattributed" for finding in verdict.judged[0].findings)


def show_trainings(console: Console, trainings: Sequence[Training], folder: Path) -> None:
    """Print the diagnosis of each training that lies in a watch's folder, and why the others have none."""
    for number, training in enumerate(trainings, start=1):
        if training.diagnosis is not None:
            title = f"Training {number} of {len(trainings)}" if len(trainings) > 1 else "Its training"
            _line(console, "", f"{title}, by its trace")
            _show_diagnosis(console, training.diagnosis)
            _line(
                console,
                "",
                f"All of it: {wording.command('gpuprobe', 'diagnose', folder / training.folder)}",
                style="dim",
            )
    for why, count in Counter(training.missing for training in trainings if training.missing).items():
        _line(console, "Not diagnosed", f"{wording.count(count, 'training')}: {why}.", style="yellow")


def _show_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    words = account.words(diagnosis)
    for device in diagnosis.devices[:1]:
        _line(console, "Trace", account.headline(device) + ".")
    for name, text in (("Verdict", words.verdict), ("Why", words.why), ("Next", words.next)):
        if text:
            _line(console, name, text)
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
