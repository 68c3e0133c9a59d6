"""`gpuprobe view`: TensorBoard's profiler on a study's traces."""

from __future__ import annotations

from pathlib import Path

import click

HELP_ORDER = 40


@click.command("view")
@click.argument("study", type=click.Path(path_type=Path), help="The folder of a study, as reports/STUDY.")
@click.option(
    "--port", type=click.IntRange(min=0, max=65535), default=0, help="Port on this machine; 0 takes a free one."
)
def command(study: Path, port: int) -> None:
    """Open a study's traces in TensorBoard's profiler.

    Serves until Ctrl-C.
    """
    from gpuprobe.report.viewer import serving

    with serving(study, port) as viewer:
        click.echo(f"TensorBoard's profiler: {viewer.address}")
        click.echo("Its trace viewer alone, which needs no network:")
        for page in viewer.pages:
            click.echo(f"  {page.run}  {page.address}")
        click.echo("Ctrl-C stops it.")
        viewer.wait()
