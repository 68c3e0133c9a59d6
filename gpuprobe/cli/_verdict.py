"""Prints the verdict on a study: where, what, why, next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from gpuprobe.report.verdict import Verdict


def show(console: Console, found: Verdict) -> None:
    """Print a verdict's sentences, a line each; one that is empty is left out."""
    console.print()
    for title, text in (("", found.where), ("Verdict", found.verdict), ("Why", found.why), ("Next", found.next)):
        if text:
            console.print(f"[bold]{title}[/bold]  {text}" if title else text, highlight=False, soft_wrap=True)
