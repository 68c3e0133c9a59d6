"""The thresholds with their sources: those of the rules, which a TOML file may replace, and the fixed ones."""

from __future__ import annotations

import difflib
from itertools import pairwise
from typing import TYPE_CHECKING, get_type_hints

import msgspec

from gpuprobe.errors import InputError
from gpuprobe.thresholds import fixed
from gpuprobe.thresholds.rules import Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType


__all__ = ["DEFAULTS", "Thresholds", "fixed", "fixed_lines", "listing", "read", "source"]

DEFAULTS = Thresholds()
FIXED = (
    "The thresholds below are fixed: a file cannot replace them, since saved records were made with them. A number "
    "without a source was chosen for gpuprobe."
)


def read(path: Path) -> Thresholds:
    """Read the user's thresholds, `name = number` a line; a threshold that the file leaves out keeps its default.

    Raises InputError for a file that is no TOML, an unknown name (with a suggestion), or a value that is no number.
    """
    try:
        overrides = msgspec.toml.decode(path.read_bytes())
        unknown = _unknown_name(overrides)
        if unknown is not None:
            raise InputError(f"{path}: {unknown}")
        return msgspec.convert(overrides, Thresholds)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no thresholds ({error})") from error


def listing() -> str:
    """Return all thresholds as a file that `read` takes, each below its meaning and source.

    The fixed ones follow as comments, since no file replaces them.
    """
    replaceable = [f"# {source(name)}\n{name} = {getattr(DEFAULTS, name)}" for name in Thresholds.__struct_fields__]
    return "\n".join([*replaceable, "", f"# {FIXED}", *(f"#\n# {line}" for line in fixed_lines())])


def fixed_lines() -> list[str]:
    """Return a line for each fixed threshold: its name, its value, and its meaning with its source."""
    return [
        f"{name.lower()} = {getattr(subject, name)}: {meaning}"
        for subject in _fixed_subjects()
        for name, meaning in _documented_numbers(subject)
    ]


def source(name: str) -> str:
    """Return the meaning of a replaceable threshold and where it comes from."""
    return str(get_type_hints(Thresholds, include_extras=True)[name].__metadata__[-1].description)


def _fixed_subjects() -> Iterator[ModuleType]:
    import importlib
    import pkgutil

    for module in pkgutil.iter_modules(fixed.__path__, f"{fixed.__name__}."):
        yield importlib.import_module(module.name)


def _documented_numbers(subject: ModuleType) -> list[tuple[str, str]]:
    """Return the name of each number in a file, with the string below it."""
    import ast
    import inspect

    return [
        (ast.unparse(number.targets[0]), " ".join(ast.literal_eval(meaning.value).split()))
        for number, meaning in pairwise(ast.parse(inspect.getsource(subject)).body)
        if isinstance(number, ast.Assign) and isinstance(meaning, ast.Expr)
    ]


def _unknown_name(overrides: dict[str, object]) -> str | None:
    """Return an error for the first unknown name, with a suggestion; None where all names are known."""
    known = Thresholds.__struct_fields__
    name = next((name for name in overrides if name not in known), None)
    if name is None:
        return None
    alike = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {alike[0]}?" if alike else "gpuprobe diagnose --list-thresholds names all"
    return f"no threshold is called {name!r}; {hint}"
