"""`gpuprobe demo`: the whole report on a session that is simulated, in seconds, without TensorFlow or a GPU."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe.cli._ends import say
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import reports_folder
from gpuprobe.errors import OutputError

HELP_ORDER = 5
HELP_GROUP = "Begin"
EXAMPLES = (
    ("gpuprobe demo", "the study in reports/demo"),
    ("gpuprobe demo --out /tmp/try", "in another folder"),
)
EXIT_CODES = exit_codes_of("simulated", 4)
ROUNDS = 2


@click.command("demo", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@reports_folder("study")
def command(out: Path) -> None:
    """Show it all on a simulated laptop whose GPU is at 20 %.

    The whole pipeline to the whole report, without TensorFlow or a GPU; every page says SIMULATED.
    """
    say("gpuprobe demo: simulating a study, which takes 10 to 40 seconds")
    from gpuprobe.cli._steps import write_step_pages
    from gpuprobe.cli._terminal import Terminal
    from gpuprobe.cli._verdict import print_verdict
    from gpuprobe.measure import folder
    from gpuprobe.recording import PAGE_FILE, REPORT_FILE
    from gpuprobe.report.write import write
    from gpuprobe.search.next_run import next_combination
    from gpuprobe.simulate import demo
    from gpuprobe.strategies.registry import changes, strategies

    study_folder = folder.make(out, "demo")
    measured = [strategy.info for strategy in strategies().values()]
    searchable = [strategy.info for name, strategy in changes().items() if name not in strategies()]
    # A progress line, in a terminal only; it is removed at the end.
    with Terminal(stderr=True, highlight=False).status("") as status:
        try:
            demo.write(study_folder, measured, next_combination, rounds=ROUNDS, changes=searchable, tell=status.update)
        except OSError as error:
            reason = f"cannot be written ({error.strerror}); name another with --out"
            raise OutputError(f"{study_folder}: {reason}") from error
        status.update("the pages of the steps")
        step_page_lines = write_step_pages(study_folder)
        status.update("the report")
        loaded = write(study_folder)
    console = Terminal()
    console.print("[bold]SIMULATED[/bold]: no hardware is measured here.", highlight=False)
    print_verdict(console, loaded)
    console.print(
        f"Report: {study_folder / PAGE_FILE} ({REPORT_FILE} holds the same)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for step_page_line in step_page_lines:
        console.print(step_page_line, highlight=False, markup=False, soft_wrap=True)
