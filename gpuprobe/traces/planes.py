"""Decodes an XPlane file into planes and lines with columns; `devices` and `hosts` interpret them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from gpuprobe.errors import InputError
from gpuprobe.traces.columns import LineColumns
from gpuprobe.traces.decode import DamagedEventError, Wanted, decode, stat_value
from gpuprobe.traces.names import Names, readable
from gpuprobe.traces.xplane_pb2 import RawPlane, RawSpace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A function of a plane's and a line's name: it returns the stats to read of the line's events (XPlane's name: the
# column's name), or None where the line is not read.
Reads = Callable[[str, str], Mapping[str, str] | None]
# Events of TensorFlow's thread pools, which make up most of a CPU's trace; their stats are not needed.
SILENT = "ThreadpoolListener::"
# The largest message that protobuf can write.
LARGEST = 2**31
# Limits that no trace reaches, so that a damaged file does not take hours. Notes are the profiler's errors and
# warnings.
MOST_PLANES, MOST_LINES, MOST_EVENTS, MOST_NOTES = 2000, 20_000, 50_000_000, 20
MOST_FIELDS, MOST_NAMES = 100_000, 2_000_000
# The fields of XSpace: planes, errors, warnings, hostnames.
PLANE_TAG = 0x0A
FIELD_TAGS = (PLANE_TAG, 0x12, 0x1A, 0x22)
AnyMessage = TypeVar("AnyMessage", RawPlane, RawSpace)


@dataclass(frozen=True)
class Line:
    """One line of a plane: a thread, a stream, or a summary. Its events' offsets count from `start_ns`."""

    id: int
    name: str
    start_ns: int
    events: LineColumns


_NONE = np.empty(0, np.int64)
NO_LINE = Line(0, "", 0, LineColumns(_NONE, _NONE, _NONE))


@dataclass(frozen=True)
class Plane:
    """One plane: `names` of events by metadata id, `stats` of the plane by name, `texts` of the stat columns.

    `unread` are the names of lines that hold events and were not read.
    """

    name: str
    lines: tuple[Line, ...]
    names: dict[int, str]
    stats: dict[str, float | str]
    texts: Names
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Space:
    """One file: its planes, its host's name, and the profiler's errors and warnings."""

    path: Path
    host: str
    planes: tuple[Plane, ...]
    warnings: tuple[str, ...]


def read_space(path: Path, reads: Reads) -> Space:
    """Read the lines of one `.xplane.pb` file that `reads` chooses.

    Raises InputError where it cannot be read or is damaged.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path}: larger than 2 GiB, which no XPlane file can be; profile fewer steps")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not data:
        raise InputError(f"{path}: the file is empty; profile again")
    planes: list[Plane] = []
    lines = 0
    rest = bytearray()
    for number, (start, body, end) in enumerate(_fields(path, data)):
        if number > MOST_FIELDS:
            raise InputError(f"{path}: byte {start:,}: more than {number:,} planes and notes; the file is damaged")
        if data[start] == PLANE_TAG:
            plane = _parsed(RawPlane, data[body:end], f"{path}: the plane at byte {start:,}")
            lines += len(plane.lines)
            _check_counts(path, plane, len(planes), lines)
            planes.append(_plane(path, plane, reads))
        else:
            rest += data[start:end]
    space = _parsed(RawSpace, bytes(rest), f"{path}: byte 0")
    host = readable(space.hostnames[0]) if space.hostnames else path.name.removesuffix(".xplane.pb")
    notes = map(readable, [*space.errors, *space.warnings][:MOST_NOTES])
    return Space(path, host, tuple(planes), tuple(f"{path.name}: the profiler says: {note}" for note in notes))


def _check_counts(path: Path, plane: RawPlane, planes: int, lines: int) -> None:
    if planes > MOST_PLANES or lines > MOST_LINES:
        raise InputError(
            f"{path}: more than {planes:,} planes and {lines:,} lines; no trace has so many, it is damaged"
        )
    if len(plane.event_metadata) + len(plane.stat_metadata) > MOST_NAMES:
        raise InputError(f"{path}: plane {readable(plane.name)}: more names than any trace has; the file is damaged")
    events = sum(len(line.events) for line in plane.lines)
    if events > MOST_EVENTS:
        raise InputError(f"{path}: plane {readable(plane.name)}: {events:,} events are too many; profile fewer steps")


def _fields(path: Path, data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield where each field of the file starts, where its body starts, and where it ends."""
    at = 0
    while at < len(data):
        length, body = _varint(data, at + 1)
        if data[at] not in FIELD_TAGS:
            raise InputError(f"{path}: byte {at:,}: not an XPlane file, or damaged; name a file HOST.xplane.pb")
        if body + length > len(data):
            raise InputError(
                f"{path}: byte {at:,}: {length:,} bytes should follow and {max(0, len(data) - body):,} do; the file is "
                "cut short or damaged, profile or copy it again"
            )
        yield at, body, body + length
        at = body + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(at, min(at + 10, len(data))):
        value |= (data[index] & 0x7F) << shift
        if data[index] < 0x80:
            return value, index + 1
        shift += 7
    return len(data) + 1, at


def _plane(path: Path, plane: RawPlane, reads: Reads) -> Plane:
    texts = Names()
    name = readable(plane.name)
    stat_names = {number: readable(stat.name) for number, stat in plane.stat_metadata.items()}
    names = {number: readable(event.name or event.display_name) for number, event in plane.event_metadata.items()}
    silent = frozenset(number for number, event in names.items() if event.startswith(SILENT))
    lines, unread = [], []
    for line in plane.lines:
        line_name = readable(line.display_name or line.name)
        columns = reads(name, line_name)
        if columns is None:
            unread += [line_name] if line.events else []
            continue
        slots = {number: columns[stat] for number, stat in stat_names.items() if stat in columns}
        try:
            events = decode(line.events, Wanted(slots, silent, stat_names, texts))
        except DamagedEventError as error:
            raise InputError(
                f"{path}: plane {name}, line {line_name or line.id}: event {error.args[0]:,} is damaged; "
                "profile or copy it again"
            ) from error
        lines.append(Line(line.id, line_name, line.timestamp_ns, events))
    stats = {stat_names.get(stat.metadata_id, ""): stat_value(stat, stat_names) for stat in plane.stats}
    return Plane(name, tuple(lines), names, stats, texts, tuple(unread))


def _parsed(kind: type[AnyMessage], data: bytes, where: str) -> AnyMessage:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InputError(f"{where} is damaged, or this is not an XPlane file ({error})") from error
