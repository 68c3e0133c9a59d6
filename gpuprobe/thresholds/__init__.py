"""The numbers that decide, with their sources: those of the rules, which a TOML file may replace, and fixed ones."""

from __future__ import annotations

import difflib
from itertools import pairwise
from typing import TYPE_CHECKING, get_type_hints

import msgspec

from gpuprobe.errors import InputError
from gpuprobe.thresholds import fixed
from gpuprobe.thresholds.rules import Thresholds

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["DEFAULTS", "Thresholds", "fixed", "fixed_ones", "listing", "read", "source"]

DEFAULTS = Thresholds()
FIXED = "These decide too, and are fixed: saved records were made with them."


def read(path: Path) -> Thresholds:
    """Read the user's thresholds, `name = number` a line; what the file leaves out stays as it is.

    Raises InputError for a file that is no TOML, an unknown name (with a suggestion), or a value that is no number.
    """
    try:
        given = msgspec.toml.decode(path.read_bytes())
        near = _unknown(given)
        if near is not None:
            raise InputError(f"{path}: {near}")
        return msgspec.convert(given, Thresholds)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no thresholds ({error})") from error


def listing() -> str:
    """Return all thresholds as a file that `read` takes, each below what it means and where it comes from.

    The fixed ones follow as comments: no file replaces them.
    """
    own = [f"# {source(name)}\n{name} = {getattr(DEFAULTS, name)}" for name in Thresholds.__struct_fields__]
    return "\n".join([*own, "", f"# {FIXED}", *(f"#\n# {one}" for one in fixed_ones())])


def fixed_ones() -> list[str]:
    """Return each number that is fixed: its value, what it means and where it comes from."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(fixed)).body
    told = [
        (ast.unparse(number.targets[0]), " ".join(ast.literal_eval(reason.value).split()))
        for number, reason in pairwise(body)
        if isinstance(number, ast.Assign) and isinstance(reason, ast.Expr)
    ]
    return [f"{name.lower()} = {getattr(fixed, name)}: {reason}" for name, reason in told]


def source(name: str) -> str:
    """Return what a threshold means and where it comes from."""
    return str(get_type_hints(Thresholds, include_extras=True)[name].__metadata__[-1].description)


def _unknown(given: dict[str, object]) -> str | None:
    known = Thresholds.__struct_fields__
    name = next((name for name in given if name not in known), None)
    if name is None:
        return None
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "gpuprobe diagnose --list-thresholds names all"
    return f"no threshold is called {name!r}; {hint}"
