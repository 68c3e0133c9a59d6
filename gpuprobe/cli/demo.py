"""`gpuprobe demo`: the whole report on a session that is simulated, in seconds, without TensorFlow or a GPU."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe.cli._help import Described, codes
from gpuprobe.cli._options import reports_folder
from gpuprobe.errors import OutputError

HELP_ORDER = 5
HELP_GROUP = "Begin"
EXAMPLES = (
    ("gpuprobe demo", "the study in reports/demo"),
    ("gpuprobe demo --out /tmp/try", "in another folder"),
)
EXIT_CODES = codes("simulated", 4)
ROUNDS = 2


@click.command("demo", cls=Described, examples=EXAMPLES, exit_codes=EXIT_CODES)
@reports_folder("study")
def command(out: Path) -> None:
    """Show it all on a simulated laptop whose GPU is at 20 %.

    The whole pipeline to the whole report, without TensorFlow or a GPU; every page says SIMULATED.
    """
    from gpuprobe.cli._console import Console
    from gpuprobe.cli._verdict import show
    from gpuprobe.measure import folder
    from gpuprobe.recording import PAGE_FILE, REPORT_FILE
    from gpuprobe.report.verdict import verdict
    from gpuprobe.report.write import write
    from gpuprobe.search.next_run import following
    from gpuprobe.simulate import demo
    from gpuprobe.strategies.registry import changes, strategies

    console = Console()
    console.print("[bold]SIMULATED[/bold]: no hardware is measured here.", highlight=False)
    where = folder.make(out, "demo")
    measured = [strategy.info for strategy in strategies().values()]
    searched = [one.info for name, one in changes().items() if name not in strategies()]
    try:
        demo.write(where, measured, following, rounds=ROUNDS, changes=searched)
    except OSError as error:
        raise OutputError(f"{where}: cannot be written ({error.strerror}); name another with --out") from error
    show(console, verdict(write(where)))
    console.print(f"Report: {where / PAGE_FILE} ({REPORT_FILE} holds the same)", highlight=False, soft_wrap=True)
