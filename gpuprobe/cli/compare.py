"""`gpuprobe compare`: two studies or recordings side by side, and an exit code for continuous integration."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe.cli._ends import echo, echo_json
from gpuprobe.cli._help import DescribedCommand
from gpuprobe.cli._options import READ_PATH, Figure
from gpuprobe.errors import FAILED

HELP_ORDER = 35
HELP_GROUP = "Understand"
EXAMPLES = (
    ("gpuprobe compare reports/BEFORE reports/AFTER", "two studies"),
    (
        "gpuprobe compare reports/MAIN reports/BRANCH --fail-below 0.95",
        "exit code 1 where the rate fell by more than 5 % beyond the noise",
    ),
    ("gpuprobe compare reports/STUDY/runs/1-numpy reports/STUDY/runs/1-xla", "two runs of one study"),
    ("gpuprobe compare old.xplane.pb new.xplane.pb --json", "two traces, for other tools"),
)
NOTES = (
    "A ratio is B's rate over A's: above 1, B is faster. Its 95 % interval holds for all strategies together. It fails "
    "where the whole interval is below --fail-below, so give studies of two rounds or more (gpuprobe run --rounds 2): "
    "one round does not show how much two equal runs differ.",
)
EXIT_CODES = {
    0: "compared; with --fail-below: no ratio is below it beyond the noise",
    FAILED: "with --fail-below: a ratio is below it beyond the noise, or a strategy that A measured failed in B",
    2: "wrong usage; or refused: other hardware, other work, no strategy in common (--force overrides the first two)",
    3: "A or B cannot be read; or with --fail-below: there is no ratio to check",
}


@click.command("compare", cls=DescribedCommand, examples=EXAMPLES, notes=NOTES, exit_codes=EXIT_CODES)
@click.argument("a", type=READ_PATH, metavar="A", help="A study, a run, a watch, a trace, or readings: before.")
@click.argument("b", type=READ_PATH, metavar="B", help="The same kind of recording: after.")
@click.option(
    "--fail-below",
    type=Figure(min=0.001),
    metavar="R",
    help="Exit with 1 where a ratio B/A is below this beyond the noise.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--force", is_flag=True, help="Compare different hardware or work too, and say so.")
def command(a: Path, b: Path, fail_below: float | None, as_json: bool, force: bool) -> None:
    """Compare two studies or recordings, with an exit code for CI.

    What became faster or slower beyond the noise, what changed in the breakdown of the step, and what else differs.
    """
    from gpuprobe.compare.compare import compare
    from gpuprobe.compare.gather import gather
    from gpuprobe.records import to_json
    from gpuprobe.report.compare import comparison_text

    comparison = compare(gather(a), gather(b), fail_below=fail_below, force=force)
    if as_json:
        echo_json(to_json(comparison))
    else:
        echo(comparison_text(comparison))
    if comparison.failed:
        raise click.exceptions.Exit(FAILED)
