"""`gpuprobe new`: writes a commented template of a workload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpuprobe.errors import OutputError

HELP_ORDER = 25


def command(
    path: Annotated[Path, typer.Argument(help="The Python file to write, as workload.py.")],
) -> None:
    """Write a template for training your own model and data.

    A commented workload, for gpuprobe run --model.
    """
    from gpuprobe.workloads.template import template

    try:
        with path.open("x") as file:
            file.write(template(path.name))
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already; name a new file") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    typer.echo(f"{path}: put your model and data into it, then: gpuprobe run --model {path}:workload --quick")
