"""`gpuprobe report`: writes the report of a study or a watch again from disk."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe.cli._ends import echo, say
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import READ_PATH, WRITTEN_PATH

HELP_ORDER = 30
HELP_GROUP = "Understand"
EXAMPLES = (
    ("gpuprobe report reports/STUDY", "write report.html, .md and .json of a study again"),
    ("gpuprobe report reports/WATCH", "the same for a recording of gpuprobe watch"),
    ("gpuprobe report reports/STUDY --share public --no-traces", "a copy to publish, without its traces"),
    ("gpuprobe report reports/WATCH --share public", "a copy of a watch, with the traces of its trainings"),
)
EXIT_CODES = exit_codes_of("written", 3, 4)


@click.command("report", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.argument("study", type=READ_PATH, help="The folder of a study or of a watch, as reports/STUDY.")
@click.option(
    "--share",
    type=WRITTEN_PATH,
    metavar="DIR",
    help="Write a copy to publish, without your paths, names, addresses, card ids and secrets; none if any remains.",
)
@click.option(
    "--traces/--no-traces",
    default=True,
    help="With --share: copy the traces too; the report tells what they say either way.",
)
def command(study: Path, share: Path | None, traces: bool) -> None:
    """Write the report of a study or a watch again from disk.

    Needs neither TensorFlow nor a GPU.
    """
    from gpuprobe.cli._steps import write_step_pages
    from gpuprobe.measure.folder import recover
    from gpuprobe.recording import REPORT_FILE, WATCH_FILE, load_study

    if (study / WATCH_FILE).is_file():
        from gpuprobe.diagnosis.trainings import studies
        from gpuprobe.report.watch import write_watch

        for training in studies(study):
            recover(training)
        step_page_lines = write_step_pages(study)
        write_watch(study)
    else:
        from gpuprobe.report.write import write

        load_study(study)
        recover(study)
        step_page_lines = write_step_pages(study)
        for failure in write(study).ranking.failures:
            if failure.state == "unreadable":
                say(f"gpuprobe: {failure.strategy}, round {failure.round}: unreadable, {failure.message}")
    if share is not None:
        from gpuprobe.sharing.publish import publish

        publish(study, share, traces=traces)
    for step_page_line in step_page_lines:
        say(step_page_line)
    echo(str((share or study) / REPORT_FILE))
