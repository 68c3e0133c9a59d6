"""Reads a spec from TOML, with a one-line error for every mistake, and prints the meaning of every knob."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from gpuprobe.errors import InputError
from gpuprobe.simulate.spec import Part, Spec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> Spec:
    """Read a spec file. Raises InputError for a bad file, key or value; the message says what is allowed."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML ({error})") from error
    return parse(data, str(path))


def parse(data: dict[str, Any], source: str) -> Spec:
    """Make a spec from nested tables; `source` is their name in errors."""
    _check_keys(Spec, data, "", source)
    try:
        return msgspec.convert(data, Spec)
    except msgspec.ValidationError as error:
        raise InputError(f"{source}: {error}; gpuprobe simulate --schema lists every key") from error


def _check_keys(part: type[Part], data: dict[str, Any], prefix: str, source: str) -> None:
    known = part.__struct_fields__
    for key, value in data.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else "gpuprobe simulate --schema lists every key"
            raise InputError(f"{source}: there is no key {prefix}{key}; {hint}")
        inner = _part_of(part, key)
        if inner is not None and isinstance(value, dict):
            _check_keys(inner, value, f"{prefix}{key}.", source)


def _part_of(part: type[Part], key: str) -> type[Part] | None:
    default = getattr(part(), key)
    return type(default) if isinstance(default, Part) else None


def schema() -> str:
    """Return every knob with its meaning and default, as a TOML file that `read` accepts."""
    info = inspect.type_info(Spec)
    assert isinstance(info, inspect.StructType)
    tables: list[str] = []
    top: list[str] = _comment(Spec.__doc__)
    for field in info.fields:
        default = getattr(Spec(), field.name)
        if isinstance(default, Part):
            tables += ["", f"[{field.name}]", *_comment(type(default).__doc__), *_knobs(type(default))]
        else:
            top += _knob(field, default)
    return "\n".join([*top, *tables]) + "\n"


def _knobs(part: type[Part]) -> list[str]:
    info = inspect.type_info(part)
    assert isinstance(info, inspect.StructType)
    return [line for field in info.fields for line in _knob(field, getattr(part(), field.name))]


def _knob(field: inspect.Field, default: object) -> list[str]:
    kind = field.type
    words = ""
    if isinstance(kind, inspect.Metadata):
        words = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    allowed = (
        " | ".join(f'"{value}"' for value in kind.values) if isinstance(kind, inspect.LiteralType) else _range(kind)
    )
    return [f"# {words}{f' ({allowed})' if allowed else ''}", f"{field.name} = {_toml(default)}"]


def _range(kind: inspect.Type) -> str:
    bounds = (("from", "ge"), ("above", "gt"), ("to", "le"), ("below", "lt"))
    bounds_set = [f"{word} {getattr(kind, name):g}" for word, name in bounds if getattr(kind, name, None) is not None]
    return " ".join(bounds_set)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return msgspec.json.encode(value).decode()


def _comment(words: str | None) -> list[str]:
    return [f"# {line.strip()}" for line in (words or "").strip().splitlines() if line.strip()]
