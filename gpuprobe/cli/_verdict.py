"""Prints the verdict on a study: the finding and its change, then the ranking as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.cli._answer import print_answer, print_chart, print_titled
from gpuprobe.report.drawn import throughput
from gpuprobe.report.study_answer import of_study
from gpuprobe.report.verdict import verdict

if TYPE_CHECKING:
    from rich.console import Console

    from gpuprobe.ranking.load import Loaded


def print_verdict(console: Console, loaded: Loaded) -> None:
    """Print the machine of a study, its answer, and the rate of each strategy."""
    console.print()
    print_titled(console, "", verdict(loaded).where)
    print_answer(console, of_study(loaded))
    print_chart(console, throughput(loaded))
