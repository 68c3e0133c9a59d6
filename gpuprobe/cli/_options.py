"""Options of several subcommands, and the types of their values."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gpuprobe.errors import GpuprobeError, InputError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


class Number(click.IntRange):
    """A whole number within bounds, with a readable name in errors."""

    name = "number"


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers joined by commas."""

    name = "numbers"

    def convert(self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the numbers. Raises UsageError where one is no whole number above zero."""
        number_words = str(value).split(",")
        if not all(number_word.strip().isdecimal() and int(number_word) for number_word in number_words):
            option = param.opts[0] if param else "NUMBERS"
            raise UsageError(f"{option}: {value!r} is not a list of numbers; write it as 1,2,4")
        return tuple(int(number_word) for number_word in number_words)


class Figure(click.FloatRange):
    """A number within bounds, with a readable name in errors."""

    name = "number"


class SystemPath(click.Path):
    """A path that the system accepts. Others, such as a name of 300 letters, are refused before the work begins."""

    def __init__(self, error: type[GpuprobeError], used: str) -> None:
        super().__init__(path_type=Path)
        self._error, self._used = error, used

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Raises UsageError where it is empty, the error of its kind where the system refuses it."""
        if not str(value):
            raise UsageError(f"{param.get_error_hint(ctx) if param else 'a path'}: is empty; name a file or a folder")
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return path
        except OSError as error:
            raise self._error(f"{path}: cannot be {self._used} ({error.strerror})") from error
        return path


READ_PATH, WRITTEN_PATH = SystemPath(InputError, "read"), SystemPath(OutputError, "written")
Command = TypeVar("Command", bound="Callable[..., object]")

UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """`90`, `90s`, `5m`, `1.5h`, as seconds."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a duration. Raises UsageError where it is none, or not above zero."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", str(value))
        seconds = float(match[1]) * UNITS_S[match[2]] if match else 0.0
        if seconds <= 0:
            option = param.opts[0] if param else "TIME"
            raise UsageError(f"{option}: {value!r} is not a duration; write it as 90s, 5m or 1.5h")
        return seconds


def reports_folder(what: str) -> Callable[[Command], Command]:
    """Return the option `--out`: the parent folder of the new folder of a study or a training."""
    return click.option(
        "--out",
        type=WRITTEN_PATH,
        default=Path("reports"),
        metavar="DIR",
        help=f"Parent folder of the new folder of the {what}.",
    )


def resnet_options(command: Command) -> Command:
    """Add the options of the ResNet's training: `--data`, `--depth`, `--samples`, `--seed`."""
    options = (
        click.option(
            "--data",
            default="auto",
            metavar="auto|cifar10|synthetic|digits|PATH",
            help="The images; auto takes CIFAR-10 if it can, else a synthetic stand-in.",
        ),
        click.option(
            "--depth", type=int, metavar="NUMBER", default=20, help="Depth of the ResNet: 20, 32, 44, 56, 110 (6n+2)."
        ),
        click.option("--samples", type=Number(min=1), help="Use only this many training images, the first ones."),
        click.option("--seed", type=Number(min=0), default=0, help="Seed of weights, order and synthetic data."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def complete_strategies(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """Return the completions of the last name in a list that is joined by commas."""
    from gpuprobe.strategies.registry import strategies

    names_before, comma, last_name = typed.rpartition(",")
    return [f"{names_before}{comma}{strategy}" for strategy in (*strategies(), "all") if strategy.startswith(last_name)]


def complete_models(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """Return the built-in workloads whose names begin with the typed text."""
    from gpuprobe.workloads.registry import workloads

    return [model for model in workloads() if model.startswith(typed)]


def complete_cards(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """Return the cards whose names begin with the typed text, with or without the family (GeForce, Tesla).

    Spaces in names become hyphens, since a space ends the word in a shell, unless the typed text has one.
    """
    from gpuprobe.cards import cards

    card_names = [card_name for card in cards() for card_name in (card.name, card.name.partition(" ")[2])]
    completions = (
        card_names if " " in typed else [re.sub(r"[ ()]+", "-", card_name).strip("-") for card_name in card_names]
    )
    return [card_name for card_name in dict.fromkeys(completions) if card_name.lower().startswith(typed.lower())]
