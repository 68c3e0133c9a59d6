"""`gpuprobe new`: writes a commented template of a workload."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe import wording
from gpuprobe.cli._ends import echo
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import WRITTEN_PATH
from gpuprobe.errors import OutputError, UsageError

HELP_ORDER = 25
HELP_GROUP = "Prepare"
EXAMPLES = (
    ("gpuprobe new workload.py", "a template with comments"),
    ("gpuprobe run --model workload.py:workload --quick", "train it, once you put your model in"),
)
EXIT_CODES = exit_codes_of("written", 4)


@click.command("new", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.argument("path", type=WRITTEN_PATH, help="The Python file to write, as workload.py.")
def command(path: Path) -> None:
    """Write a template for training your own model and data.

    A commented workload, for gpuprobe run --model.
    """
    from gpuprobe.workloads.template import template

    if path.suffix != ".py":
        raise UsageError(f"{path}: name a Python file, as {path.with_suffix('.py') if path.name else 'workload.py'}")
    try:
        with path.open("x") as file:
            file.write(template(path.name))
    except FileExistsError as error:
        raise OutputError(f"{path}: exists already; name a new file") from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    then = wording.command("gpuprobe", "run", "--model", f"{path}:workload", "--quick")
    echo(f"{path}: put your model and data into it, then: {then}")
