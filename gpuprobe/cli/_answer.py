"""Prints an answer: the finding, its confidence, the time before and after, the evidence, and the advised change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from gpuprobe.cli._charts import bar_chart
from gpuprobe.report.charts import Bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gpuprobe.report.answer import Answer
    from gpuprobe.report.charts import Chart

WIDEST_TITLE = len("Evidence")


def print_answer(console: Console, answer: Answer, evidence: Sequence[str] = ()) -> None:
    """Print the answer; `evidence` are lines to print in place of the usual evidence."""
    print_titled(console, "Verdict", answer.title, "bold")
    print_titled(console, "", "; ".join(f"{title} {chip}" for title, chip in answer.chips), "dim")
    print_chart(console, answer.bars)
    for line_index, evidence_line in enumerate(evidence or (answer.why,)):
        print_titled(console, ("Evidence" if evidence else "Why") if not line_index else "", evidence_line)
    print_titled(console, "Next", answer.change)
    if answer.code:
        # Printed without wrapping, so that it can be copied.
        console.print(answer.code, markup=False, highlight=False, soft_wrap=True, style="cyan")


def print_chart(console: Console, chart: Chart | None) -> None:
    """Print a bar chart between empty lines, with the unit of its bars; nothing for a chart of another kind."""
    if chart is not None and isinstance(chart.drawn, Bars):
        console.print()
        console.print(bar_chart(chart.drawn, console.width - 1))
        if chart.drawn.unit:
            console.print(Text(f"({chart.drawn.unit})", "dim"))
        console.print()


def print_titled(console: Console, title: str, text: str, style: str = "") -> None:
    """Print a sentence beside its title, wrapped in a terminal; nothing for an empty sentence."""
    sentence = Text(text.replace("`", ""), style)
    if not text:
        return
    if not console.is_terminal:
        console.print(Text.assemble((f"{title:<{WIDEST_TITLE}}  ", "bold"), sentence), soft_wrap=True, highlight=False)
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=WIDEST_TITLE, style="bold")
    grid.add_column(ratio=1)
    grid.add_row(title, sentence)
    console.print(grid, highlight=False)
