"""`gpuprobe list`: the strategies, and what each changes."""

from __future__ import annotations

import typer

HELP_ORDER = 20


def command() -> None:
    """List the strategies: what each does, and which one it is compared with."""
    from rich.console import Console
    from rich.table import Table

    from gpuprobe.strategies.registry import strategies

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("strategy", style="bold", no_wrap=True)
    table.add_column("compared with", no_wrap=True)
    table.add_column("what it does", ratio=1)
    for strategy in strategies().values():
        table.add_row(strategy.name, strategy.against or "-", strategy.sentence)
    Console().print(table)
    typer.echo("gpuprobe run --strategies NAME,NAME trains under some of them, all under every one.")
