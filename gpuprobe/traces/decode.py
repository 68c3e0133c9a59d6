"""The events of a line from their wire bytes into columns, tens of thousands at a time and no object for any."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import DecodeError

from gpuprobe.traces.columns import DOUBLE, NUMBER, TEXT, LineColumns, StatColumn
from gpuprobe.traces.names import Names, distinct
from gpuprobe.traces.timeline import Int64s
from gpuprobe.traces.wire import Wire
from gpuprobe.traces.xplane_pb2 import XEvent, XStat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Few enough that the columns at work stay in the processor's cache.
AT_ONCE = 24_576
# Field number and wire type of XEvent's metadata_id, offset_ps, duration_ps and stats, and of XStat's values.
METADATA, OFFSET, DURATION, STATS = 0x08, 0x10, 0x18, 0x22
STAT_ID = 0x08
LOW_BITS = 2**12 - 1
NUMBERS, REAL, REFERENCE, STRINGS = (0x18, 0x20), 0x11, 0x38, (0x2A, 0x32)
# The first and third byte of a stat, and the bit that says that its length goes on.
SHORT_STAT = STATS | STAT_ID << 16
# How the value behind each tag is read: by index in `_Chunk._values`, or not at all.
NO_VALUE, STRANGE = 4, 5
WAYS = np.full(256, STRANGE, np.int8)
for _way, _tags in enumerate((NUMBERS, (REAL,), (REFERENCE,), STRINGS)):
    WAYS[list(_tags)] = _way


@dataclass(frozen=True)
class Wanted:
    """Which stats of a line are read: `columns` by metadata id, several for one column where they mean the same.

    The events of `silent` metadata have none that is read. `references` are the plane's own stat names, which a value
    may refer to; `texts` gets what stats say.
    """

    columns: Mapping[int, str]
    silent: frozenset[int]
    references: Mapping[int, str]
    texts: Names


class DamagedEventError(ValueError):
    """An event that is no protobuf message; `args[0]` is its index in the line."""


def decode(events: Sequence[bytes], wanted: Wanted) -> LineColumns:
    """Decode the events of a line. Raises DamagedEventError."""
    columns: tuple[list[Int64s], ...] = ([], [], [])
    cells: defaultdict[str, list[Cells]] = defaultdict(list)
    for start in range(0, len(events), AT_ONCE):
        chunk = _Chunk(events[start : start + AT_ONCE], start, wanted)
        for column, part in zip(columns, (chunk.metadata, chunk.offset_ps, chunk.duration_ps), strict=True):
            column.append(part)
        for name, cells_of_stat in chunk.cells.items():
            cells[name] += cells_of_stat
    metadata, offset_ps, duration_ps = map(_joined, columns)
    stats = {name: _column(cells_of_stat) for name, cells_of_stat in cells.items()}
    return LineColumns(metadata, offset_ps, duration_ps, stats)


# Some events' values of one stat: their indices in the line, the values, and the kind of all.
Cells = tuple[Int64s, Int64s, int]


def _joined(columns: list[Int64s]) -> Int64s:
    return np.concatenate(columns) if columns else np.empty(0, np.int64)


def _column(cells_of_stat: list[Cells]) -> StatColumn:
    kinds = [np.full(len(events), kind, np.int8) for events, _, kind in cells_of_stat]
    return StatColumn(
        _joined([cell[0] for cell in cells_of_stat]),
        _joined([cell[1] for cell in cells_of_stat]),
        np.concatenate(kinds),
    )


class _Chunk:
    """Some events of a line, decoded: they hold their fields in the order of the numbers, as writers do.

    The few that do not are `odd`, and are left to protobuf.
    """

    def __init__(self, events: Sequence[bytes], first: int, wanted: Wanted) -> None:
        self.first, self.wanted = first, wanted
        self.cells: defaultdict[str, list[Cells]] = defaultdict(list)
        self._wire = Wire(b"".join(events))
        self._end = np.cumsum(np.fromiter(map(len, events), np.int64, len(events)))
        self._at = self._end - np.diff(self._end, prepend=0)
        self._odd = np.zeros(len(events), bool)
        self.metadata = self._field(METADATA)
        self.offset_ps = self._field(OFFSET)
        self.duration_ps = self._field(DURATION)
        self._odd |= self._at > self._end
        self._values(*self._stats())
        for index in np.flatnonzero(self._odd).tolist():
            self._one(index, events[index])

    def _field(self, tag: int) -> Int64s:
        """Take a number field where it is the next, 0 where it is not there."""
        there = (self._at < self._end) & (self._wire.bytes[self._at] == tag)
        if there.all():
            value, self._at = self._wire.varints(self._at + 1)
            return value
        value = np.zeros(len(there), np.int64)
        value[there], self._at[there] = self._wire.varints(self._at[there] + 1)
        return value

    def _stats(self) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Return of each stat that is wanted its event, its id, and where its value begins and ends."""
        silent = np.isin(self.metadata, np.array(sorted(self.wanted.silent), np.int64))
        # Stats are told apart by the low bits of their ids, since a table is quick; `_keep` looks at all bits.
        maybe = np.zeros(LOW_BITS + 1, np.bool_)
        maybe[[number & LOW_BITS for number in self.wanted.columns]] = True
        event = np.flatnonzero((self._at < self._end) & ~silent & ~self._odd)
        stats = []
        while len(event):
            event, stat, value, after = self._next_stat(event)
            hit = np.flatnonzero(maybe[stat & LOW_BITS])
            stats.append((event[hit], stat[hit], value[hit], after[hit]))
            self._at[event] = after
            event = event[after < self._end[event]]
        event, stat, value, after = (_joined([part[column] for part in stats]) for column in range(4))
        return event, stat, value, after

    def _next_stat(self, event: Int64s) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Return the events whose next field is a stat, its id, and where its value begins and ends."""
        at, end = self._at[event], self._end[event]
        # A stat below 128 bytes with an id of one or two bytes shows in the eight bytes that it begins with.
        words = self._wire.words(at)
        two = (words >> 31) & 1
        short = ((words & 0xFF80FF) == SHORT_STAT) & ((two & (words >> 39)) == 0)
        stat = ((words >> 24) & 0x7F) | (((words >> 25) & 0x3F80) * two)
        value, after = at + 4 + two, at + 2 + ((words >> 8) & 0x7F)
        fits = (value <= after) & (after <= end)
        if not short.all():
            other = np.flatnonzero(~short)
            stat[other], value[other], after[other], fits[other] = self._any_stat(at[other], end[other])
        if fits.all():
            return event, stat, value, after
        self._odd[event[~fits]] = True
        return event[fits], stat[fits], value[fits], after[fits]

    def _any_stat(self, at: Int64s, end: Int64s) -> tuple[Int64s, Int64s, Int64s, NDArray[np.bool_]]:
        """Return id, begin and end of the value of stats of any length, and whether each is one that fits."""
        wire = self._wire
        length, start = wire.varints(at + 1)
        fits = (wire.bytes[at] == STATS) & (length > 0) & (length <= end - start)
        # What does not fit is not looked into.
        start = np.where(fits, start, at)
        stat, value = wire.varints(start + 1)
        after = start + np.where(fits, length, 0)
        return stat, value, after, fits & (wire.bytes[start] == STAT_ID) & (value <= after)

    def _values(self, event: Int64s, stat: Int64s, at: Int64s, after: Int64s) -> None:
        readers = (self._wire.varints, self._doubles, self._references, self._strings)
        way = np.where(at < after, WAYS[self._wire.bytes[at]], NO_VALUE)
        self._odd[event[way == STRANGE]] = True
        for reader, (read, kind) in enumerate(zip(readers, (NUMBER, DOUBLE, TEXT, TEXT), strict=True)):
            chosen = np.flatnonzero(way == reader)
            if not len(chosen):
                continue
            value, end = read(at[chosen] + 1)
            fits = end == after[chosen]
            if not fits.all():
                self._odd[event[chosen[~fits]]] = True
                chosen, value = chosen[fits], value[fits]
            self._keep(event[chosen], stat[chosen], value, kind)

    def _keep(self, event: Int64s, stat: Int64s, value: Int64s, kind: int) -> None:
        for number, name in self.wanted.columns.items():
            here = np.flatnonzero(stat == number)
            if len(here):
                self.cells[name].append((event[here] + self.first, value[here], kind))

    def _doubles(self, at: Int64s) -> tuple[Int64s, Int64s]:
        return self._wire.words(at), at + 8

    def _references(self, at: Int64s) -> tuple[Int64s, Int64s]:
        value, end = self._wire.varints(at)
        unique, row = distinct(value)
        indices = [self.wanted.texts.index(self.wanted.references.get(number, "")) for number in unique.tolist()]
        return np.array(indices, np.int64)[row], end

    def _strings(self, at: Int64s) -> tuple[Int64s, Int64s]:
        length, start = self._wire.varints(at)
        # A length beyond the end ends nowhere that fits, and its text is not looked at.
        end = np.where((length >= 0) & (length <= len(self._wire.bytes)), start + length, -1)
        texts = map(self._wire.text, start.tolist(), end.tolist())
        indices = [self.wanted.texts.index(text.decode(errors="replace")) for text in texts]
        return np.array(indices, np.int64), end

    def _one(self, index: int, data: bytes) -> None:
        """Let protobuf read one event."""
        try:
            event = XEvent.FromString(data)
        except DecodeError as error:
            raise DamagedEventError(self.first + index) from error
        self.metadata[index] = event.metadata_id
        self.offset_ps[index] = event.offset_ps
        self.duration_ps[index] = event.duration_ps
        for stat in event.stats:
            name = self.wanted.columns.get(stat.metadata_id)
            if name is not None and stat.WhichOneof("value") is not None:
                value, kind = self._cell(stat)
                self.cells[name].append((np.array([self.first + index]), np.array([value], np.int64), kind))

    def _cell(self, stat: XStat) -> tuple[int, int]:
        value = stat_value(stat, self.wanted.references)
        if isinstance(value, str):
            return self.wanted.texts.index(value), TEXT
        if isinstance(value, float):
            return int(np.float64(value).view(np.int64)), DOUBLE
        return (value + 2**63) % 2**64 - 2**63, NUMBER


def stat_value(stat: XStat, references: Mapping[int, str]) -> float | str:
    """Return what a stat says, by reference or itself; `""` where it says nothing."""
    kind = stat.WhichOneof("value")
    if kind == "ref_value":
        return references.get(stat.ref_value, "")
    value: float | str | bytes = getattr(stat, kind) if kind else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
