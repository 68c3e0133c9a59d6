"""Prints the verdict on a study: where, what, why, next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from gpuprobe.report.verdict import Verdict


def show(console: Console, found: Verdict) -> None:
    """Print a verdict's sentences, a line each; one that is empty is left out."""
    console.print()
    told = (
        ("", found.where),
        ("Verdict", found.verdict),
        ("Why", found.why),
        ("Next", found.next),
        ("Gain", found.gain),
        ("How sure", found.sure),
    )
    for title, text in told:
        if text:
            console.print(f"[bold]{title}[/bold]  {_bare(text)}" if title else text, highlight=False, soft_wrap=True)
        if title == "Next" and found.code:
            console.print(found.code, markup=False, highlight=False, soft_wrap=True)


def _bare(text: str) -> str:
    """Leave out the backticks of the Markdown, and keep brackets from being the markup of rich."""
    return text.replace("`", "").replace("[", r"\[")
