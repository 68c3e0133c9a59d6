"""An XPlane file as planes with columns: the first half of reading it, before anything is known of GPUs or threads."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from gpuprobe.errors import InputError
from gpuprobe.traces.columns import DOUBLE, NUMBER, TEXT, LineColumns, StatColumn
from gpuprobe.traces.names import Names
from gpuprobe.traces.xplane_pb2 import XLine, XPlane, XSpace, XStat

if TYPE_CHECKING:
    from pathlib import Path

# The stats that later stages read, by the names that XPlane gives them; all others are skipped.
WANTED = {
    **{name: name for name in ("correlation_id", "kernel_details", "memcpy_details", "memset_details", "group_id")},
    **{name: name for name in ("theoretical_occupancy_pct", "tf_op", "level 0", "annotation", "step_num")},
    **{name: name for name in ("producer_id", "producer_type", "consumer_id", "consumer_type")},
    "_p": "producer_id",
    "_pt": "producer_type",
    "_c": "consumer_id",
    "_ct": "consumer_type",
}


@dataclass(frozen=True)
class Line:
    """One line of a plane: a thread, a stream, or a summary. `start_ns` is what its events' offsets count from."""

    id: int
    name: str
    start_ns: int
    events: LineColumns


NO_LINE = Line(0, "", 0, LineColumns(*(np.empty(0, np.int64) for _ in range(3))))


@dataclass(frozen=True)
class Plane:
    """One plane: `names` of events by metadata id, `stats` of the plane itself by name, `texts` of the stat columns."""

    name: str
    lines: tuple[Line, ...]
    names: dict[int, str]
    stats: dict[str, float | str]
    texts: Names


@dataclass(frozen=True)
class Space:
    """One file: its planes, the host it comes from, and what the profiler had to say."""

    path: Path
    host: str
    planes: tuple[Plane, ...]
    warnings: tuple[str, ...]


def read_space(path: Path) -> Space:
    """Read one `.xplane.pb` file. Raises InputError where it cannot be read or is damaged."""
    space = XSpace()
    try:
        space.ParseFromString(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except DecodeError as error:
        raise InputError(f"{path}: not an XPlane file, or damaged ({error})") from error
    host = space.hostnames[0] if space.hostnames else path.name.removesuffix(".xplane.pb")
    return Space(path, host, tuple(map(_plane, space.planes)), (*space.errors, *space.warnings))


def _plane(plane: XPlane) -> Plane:
    texts = Names()
    stat_names = {number: stat.name for number, stat in plane.stat_metadata.items()}
    return Plane(
        name=plane.name,
        lines=tuple(
            Line(line.id, line.display_name or line.name, line.timestamp_ns, _columns(line, stat_names, texts))
            for line in plane.lines
        ),
        names={number: event.name or event.display_name for number, event in plane.event_metadata.items()},
        stats={stat_names.get(stat.metadata_id, ""): _value(stat, stat_names) for stat in plane.stats},
        texts=texts,
    )


def _value(stat: XStat, stat_names: dict[int, str]) -> float | str:
    kind = stat.WhichOneof("value")
    if kind == "ref_value":
        return stat_names.get(stat.ref_value, "")
    value = getattr(stat, kind) if kind else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _columns(line: XLine, stat_names: dict[int, str], texts: Names) -> LineColumns:
    found: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for place, event in enumerate(line.events):
        for stat in event.stats:
            name = WANTED.get(stat_names.get(stat.metadata_id, ""), "")
            if name:
                found[name].append((place, *_cell(_value(stat, stat_names), texts)))
    times = [(event.metadata_id, event.offset_ps, event.duration_ps) for event in line.events]
    metadata, offset, duration = np.array(times, np.int64).reshape(-1, 3).T
    return LineColumns(metadata, offset, duration, {name: _stat(cells) for name, cells in found.items()})


def _cell(value: float | str, texts: Names) -> tuple[int, int]:
    if isinstance(value, str):
        return texts.place(value), TEXT
    if isinstance(value, float):
        return int(np.float64(value).view(np.int64)), DOUBLE
    return (value + 2**63) % 2**64 - 2**63, NUMBER


def _stat(cells: list[tuple[int, int, int]]) -> StatColumn:
    events, values, kinds = np.array(cells, np.int64).T
    return StatColumn(events, values, kinds.astype(np.int8))
