"""Saves records as JSON and loads them: files are written atomically, and unreadable ones give an error of one line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from gpuprobe.errors import InputError, OutputError
from gpuprobe.foreign import visible_json
from gpuprobe.records.base import SCHEMA, Record

if TYPE_CHECKING:
    from pathlib import Path

# How bytes of a file name that are no UTF-8 appear in saved records.
UNENCODABLE = "backslashreplace"
AnyRecord = TypeVar("AnyRecord", bound=Record)


def to_json(record: Record | Any) -> bytes:
    """Encode a record as indented JSON that ends with a newline."""
    try:
        encoded = msgspec.json.encode(record)
    except UnicodeEncodeError:
        # A path that is not UTF-8 has surrogates in Python.
        encoded = msgspec.json.encode(_encodable(msgspec.to_builtins(record)))
    return msgspec.json.format(encoded, indent=1) + b"\n"


def save(record: Record, path: Path) -> None:
    """Write a record with `write_whole`. Raises OutputError where the file cannot be written."""
    write_whole(path, to_json(record))


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file atomically, text as UTF-8: a reader sees the old or the new one, never a part.

    Raises OutputError where it cannot be written; the old file is then unchanged.
    """
    if isinstance(content, str):
        content = content.encode(errors=UNENCODABLE)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        # Remove the partial file: on a full disk it takes up space.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def load(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """Read a record back.

    Raises InputError where the file is missing, damaged, of another kind, or from a newer gpuprobe.
    """
    try:
        data = visible_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        schema = msgspec.json.decode(data, type=_Versioned).schema
        newest = _newest(kind)
        if schema is not None and schema > newest:
            raise InputError(
                f"{path}: written by a newer gpuprobe (schema {schema}, this one reads up to {newest}); "
                "upgrade this one: git pull and pip install . in its checkout"
            )
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: not a {kind.__name__.lower()} record of gpuprobe ({error})") from error


def _newest(kind: type[Record]) -> int:
    """Return the schema in which a kind of record is written, which is also the newest that can be read."""
    own = (field.default for field in msgspec.structs.fields(kind) if field.name == "schema")
    return next((schema for schema in own if isinstance(schema, int)), SCHEMA)


def _encodable(value: Any) -> Any:
    """Return plain data whose texts have surrogates, which UTF-8 lacks, written out."""
    if isinstance(value, str):
        return value.encode(errors=UNENCODABLE).decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list | tuple) else value


class _Versioned(msgspec.Struct):
    schema: int | None = None
