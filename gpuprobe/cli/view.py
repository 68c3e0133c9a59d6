"""`gpuprobe view`: TensorBoard's profiler on a study's traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP_ORDER = 40


def command(
    study: Annotated[Path, typer.Argument(help="The folder of a study, as reports/STUDY.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 0,
) -> None:
    """Open a study's traces in TensorBoard's profiler.

    Serves until Ctrl-C.
    """
    from gpuprobe.report.viewer import serving

    with serving(study, port) as viewer:
        typer.echo(f"TensorBoard's profiler: {viewer.address}")
        typer.echo("Its trace viewer alone, which needs no network:")
        for page in viewer.pages:
            typer.echo(f"  {page.run}  {page.address}")
        typer.echo("Ctrl-C stops it.")
        viewer.wait()
