"""The short output of `gpuprobe diagnose`: verdict, the step as a bar, evidence, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from gpuprobe import wording
from gpuprobe.cli._answer import show as show_answer
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.report import whole_run
from gpuprobe.report.answer import evidence, of_diagnosis

if TYPE_CHECKING:
    from rich.console import Console

    from gpuprobe.diagnosis.records import Diagnosis

MOST_EVIDENCE = 3


def show(console: Console, diagnosis: Diagnosis, again: str) -> None:
    """Print the answer; `again` is the command for the full output."""
    show_answer(console, of_diagnosis(diagnosis, main_device(diagnosis)), evidence(diagnosis)[:MOST_EVIDENCE])
    if diagnosis.whole_run is not None:
        console.print(Text(f"{whole_run.headline(diagnosis.whole_run)}."))
    if diagnosis.slowest_why:
        console.print(Text(f"{diagnosis.slowest_why[0].upper()}{diagnosis.slowest_why[1:]}."))
    for warning in (*([diagnosis.untold] if diagnosis.untold else []), *diagnosis.warnings):
        console.print(Text(f"Note: {warning}", "dim"))
    count = len(diagnosis.not_evaluated)
    undecided = f"{wording.count(count, 'cause')} not evaluated. " if count else ""
    # Not wrapped, so that the command can be copied.
    console.print(Text(f"{undecided}All of it: {again}", "dim"), soft_wrap=True)
