"""Prints the verdict on a study: where, what, why, next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from gpuprobe.report.verdict import Verdict


WIDEST_TITLE = len("How sure")


def show(console: Console, found: Verdict) -> None:
    """Print a verdict's sentences, one that is empty left out: beside their titles in a terminal, a line each else."""
    console.print()
    if found.where:
        _line(console, _bare(found.where))
    for title, text in found.told:
        if text:
            _titled(console, title, _bare(text))
        if title == "Next" and found.code:
            # As it stands, so that it can be copied.
            console.print(found.code, markup=False, highlight=False, soft_wrap=True)


def _titled(console: Console, title: str, text: str) -> None:
    if not console.is_terminal:
        _line(console, f"[bold]{title}[/bold]  {text}")
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=WIDEST_TITLE, style="bold")
    grid.add_column()
    grid.add_row(title, text)
    console.print(grid, highlight=False)


def _line(console: Console, text: str) -> None:
    """Print a line, which only a terminal has a width for."""
    console.print(text, highlight=False, soft_wrap=not console.is_terminal)


def _bare(text: str) -> str:
    """Leave out the backticks of the Markdown, and keep brackets from being the markup of rich."""
    return text.replace("`", "").replace("[", r"\[")
