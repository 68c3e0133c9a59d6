"""The short output of `gpuprobe diagnose`: verdict, the step as a bar, evidence, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from gpuprobe import wording
from gpuprobe.cli._answer import print_answer
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.report import whole_run
from gpuprobe.report.answer import evidence, of_diagnosis

if TYPE_CHECKING:
    from rich.console import Console

    from gpuprobe.diagnosis.records import Diagnosis

MOST_EVIDENCE = 3


def print_short(console: Console, diagnosis: Diagnosis, full_command: str) -> None:
    """Print the answer; `full_command` is the command that prints the full output."""
    print_answer(console, of_diagnosis(diagnosis, main_device(diagnosis)), evidence(diagnosis)[:MOST_EVIDENCE])
    if diagnosis.whole_run is not None:
        console.print(Text(f"{whole_run.run_headline(diagnosis.whole_run)}."))
    if diagnosis.slowest_why:
        console.print(Text(f"{diagnosis.slowest_why[0].upper()}{diagnosis.slowest_why[1:]}."))
    for warning in (*([diagnosis.untold] if diagnosis.untold else []), *diagnosis.warnings):
        console.print(Text(f"Note: {warning}", "dim"))
    undecided_count = len(diagnosis.not_evaluated)
    undecided_words = f"{wording.count(undecided_count, 'cause')} not evaluated. " if undecided_count else ""
    # Not wrapped, so that the command can be copied.
    console.print(Text(f"{undecided_words}All of it: {full_command}", "dim"), soft_wrap=True)
