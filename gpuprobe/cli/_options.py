"""Options that several subcommands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., object]")


def reports_folder(what: str) -> Callable[[Command], Command]:
    """Return the option `--out`: the folder in which the new one of a study or a training is made."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("reports"),
        metavar="DIR",
        help=f"Where the {what}'s folder is made.",
    )
