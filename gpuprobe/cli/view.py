"""`gpuprobe view`: TensorBoard on the traces of a study or a watch, at the tab of gpuprobe."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe.cli._ends import echo, say
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import READ_PATH, Number

HELP_ORDER = 40
HELP_GROUP = "Understand"
EXAMPLES = (
    ("gpuprobe view reports/STUDY", "prints the address to open in a browser"),
    ("gpuprobe view reports/STUDY --port 6006", "at a port of your choice, as for an SSH tunnel"),
)
EXIT_CODES = {**exit_codes_of("TensorBoard ended", 3, 4, 5), 130: "stopped with Ctrl-C"}


@click.command("view", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.argument("study", type=READ_PATH, help="The folder of a study or of a watch, as reports/STUDY.")
@click.option("--port", type=Number(min=0, max=65535), default=0, help="Port on this machine; 0 takes a free one.")
def command(study: Path, port: int) -> None:
    """Open the traces of a study or a watch in TensorBoard.

    In the tab GPUPROBE, beside TensorBoard's profiler; serves until Ctrl-C.
    """
    from gpuprobe.report.viewer import serving

    with serving(study, port, lambda: say("gpuprobe view: starting TensorBoard, up to a minute")) as viewer:
        echo(f"TensorBoard, with verdict and step of each trace: {viewer.address}")
        if viewer.pages:
            echo("The trace viewer of its profiler alone, which needs no network:")
        for page in viewer.pages:
            echo(f"  {page.run}  {page.address}")
        echo("Ctrl-C stops it.")
        viewer.wait()
