"""Decodes a Chrome trace into small batches of typed events, with only the fields that are read."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gpuprobe.errors import InputError

# A trace's text compresses about 10 to 30 to 1. Far beyond that it is a decompression bomb.
MOST_PACKED, SMALL = 200, 2**26
LARGEST = 2**31
PIECE = 2**20
# Events per batch: few enough to stay in the processor's cache while columns are made of them.
AT_ONCE = 2048
# From here on a 64-bit float of microseconds no longer resolves nanoseconds.
FLOAT_US = 2.0**42
# Kineto divides by a duration of 0 and writes what C prints, which is no JSON.
NO_NUMBER = re.compile(rb"(?<=[:,\[])\s*[-+]?(?:nan|inf|infinity)(?=\s*[,\]}])", re.IGNORECASE)


UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


# Of any type too; a list is read as a tuple, which can be hashed.
Sizes = tuple[Any, ...] | dict[str, Any] | str | int | float | bool | None


class Args(msgspec.Struct, gc=False):
    """An event's arguments by the names of PyTorch's Kineto and TensorFlow, of any type, None where missing."""

    correlation: Any = None
    correlation_id: Any = None
    stream: Any = None
    device: Any = None
    bytes: Any = None
    grid: Sizes = None
    block: Sizes = None
    registers: Any = msgspec.field(default=None, name="registers per thread")
    shared: Any = msgspec.field(default=None, name="shared memory")
    occupancy: Any = msgspec.field(default=None, name="est. achieved occupancy %")
    kernel_details: Any = None
    memcpy_details: Any = None
    memset_details: Any = msgspec.field(default=None, name="Memset_details")
    tf_op: Any = None
    annotation: Any = None
    step_num: Any = None
    name: Any = None
    labels: Any = None
    # Of a collective of PyTorch (torch/csrc/distributed/c10d/ParamCommsUtils.hpp).
    group: Any = msgspec.field(default=None, name="Process Group Name")
    group_ranks: Sizes = msgspec.field(default=None, name="Process Group Ranks")
    elements_in: Any = msgspec.field(default=None, name="In msg nelems")
    elements_out: Any = msgspec.field(default=None, name="Out msg nelems")
    dtype: Any = None


class Event(msgspec.Struct, gc=False):
    """One trace event, times in microseconds as the file writes them."""

    ph: str = ""
    cat: str = ""
    name: str = ""
    pid: int | float | str | None = None
    tid: int | float | str | None = None
    ts: int | float | None = None
    dur: int | float | None = None
    args: Args | None = None


class ExactEvent(Event, gc=False):
    """One trace event whose times have more digits than a float."""

    ts: Decimal | None = None  # type: ignore[assignment]
    dur: Decimal | None = None  # type: ignore[assignment]


AnyEvent = TypeVar("AnyEvent", Event, ExactEvent)


class Document(msgspec.Struct):
    """A whole trace: its events not yet decoded, and Kineto's facts of the cards and the clock."""

    events: list[msgspec.Raw] = msgspec.field(name="traceEvents")
    cards: Any = msgspec.field(default=None, name="deviceProperties")
    older_cards: Any = msgspec.field(default=None, name="computeProperties")
    base_ns: Any = msgspec.field(default=None, name="baseTimeNanoseconds")
    distributed: Any = msgspec.field(default=None, name="distributedInfo")


def read_document(path: Path) -> Document:
    """Read a trace, gzipped or not. Raises InputError where it is no trace, damaged, or a decompression bomb."""
    text = _text(path)
    try:
        return _document(text)
    except UNREADABLE:
        repaired = NO_NUMBER.sub(b"null", text.decode(errors="replace").encode())
    try:
        return _document(repaired)
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply to be a trace") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a Chrome trace, or damaged ({error}); it should hold a list `traceEvents`"
        ) from error


def batches(document: Document) -> Iterator[tuple[list[Event], int]]:
    """Decode the events in batches of some thousands, each with the count of items that are no events.

    Undecoded events are dropped as batches are made, so that the memory never holds both forms of the whole trace.
    """
    unread = document.events
    unread.reverse()
    while unread:
        pieces = unread[: -AT_ONCE - 1 : -1]
        del unread[-AT_ONCE:]
        yield _batch(pieces)


def _batch(pieces: list[msgspec.Raw]) -> tuple[list[Event], int]:
    try:
        events: list[Event] = _EVENTS.decode(b"[" + b",".join(pieces) + b"]")
        left_out = 0
    except UNREADABLE:
        parsed = [event for piece in pieces if (event := _one(piece, _EVENT)) is not None]
        events, left_out = parsed, len(pieces) - len(parsed)
    floats = list(map(_START_OF, events))
    if set(map(type, floats)) != {float}:
        floats = [start for start in floats if type(start) is float]
    if max(floats, default=0) < FLOAT_US and min(floats, default=0) > -FLOAT_US:
        return events, left_out
    exact: list[Event] = [event for piece in pieces if (event := _one(piece, _EXACT)) is not None]
    return exact, len(pieces) - len(exact)


_START_OF = attrgetter("ts")
_EVENTS = msgspec.json.Decoder(list[Event])
_EVENT = msgspec.json.Decoder(Event)
_EXACT = msgspec.json.Decoder(ExactEvent)


def _one(piece: msgspec.Raw, decoder: msgspec.json.Decoder[AnyEvent]) -> AnyEvent | None:
    """Decode one item, None where it is no event; bytes that are no UTF-8 are replaced by a mark."""
    try:
        return decoder.decode(bytes(piece).decode(errors="replace"))
    except UNREADABLE:
        return None


def _document(text: bytes | bytearray) -> Document:
    if text[:64].lstrip()[:1] == b"[":
        return Document(events=msgspec.json.decode(text, type=list[msgspec.Raw]))
    return msgspec.json.decode(text, type=Document)


def _text(path: Path) -> bytearray:
    """Read the file's text, unzipped where its first bytes are those of gzip, whatever its name."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        size = path.stat().st_size
        with gzip.open(path) if packed else path.open("rb") as stream:
            text = bytearray()
            while piece := stream.read(PIECE):
                text += piece
                if len(text) > LARGEST or (packed and len(text) > max(SMALL, MOST_PACKED * size)):
                    raise InputError(
                        f"{path}: byte {len(text):,} of its text: too large for a trace; profile fewer steps"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read or unpacked ({error}); copy or profile it again") from error
    if not text:
        raise InputError(f"{path}: the file is empty; profile again")
    return text
