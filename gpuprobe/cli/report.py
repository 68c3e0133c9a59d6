"""`gpuprobe report`: writes a study's report again from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP_ORDER = 30


def command(
    study: Annotated[Path, typer.Argument(help="The folder of a study, as reports/STUDY.")],
    share: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a copy fit to publish: no host, user or path in it."),
    ] = None,
) -> None:
    """Write the report of a study again from what is on disk; needs neither TensorFlow nor a GPU."""
    from gpuprobe.measure.folder import recover
    from gpuprobe.recording import load_study
    from gpuprobe.report.share import publish
    from gpuprobe.report.write import REPORT_FILE, write

    load_study(study)
    recover(study)
    write(study)
    if share is not None:
        publish(study, share)
        write(share)
    typer.echo((share or study) / REPORT_FILE)
