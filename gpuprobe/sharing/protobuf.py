"""Reads and rewrites the texts of an XPlane file, without decoding messages that hold no fact.

A trace has millions of events and few texts. So its bytes are searched first, and only messages around a hit are
decoded. Where a text changes, the lengths of all messages around it are written again. Wire format:
https://protobuf.dev/programming-guides/encoding/; fields: xla/tsl/profiler/protobuf/xplane.proto.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gpuprobe.sharing.prefilter import Prefilter

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
# Sizes of fields of fixed length.
FIXED = {FIXED64: 8, FIXED32: 4}
DEEPEST = 100


class Schema(NamedTuple):
    """The fields of a message that matter here, by number: nested messages, and texts."""

    messages: dict[int, Schema]
    texts: frozenset[int] = frozenset()


HOSTS_FIELD = 4
STAT = Schema({}, frozenset({5}))
EVENT = Schema({4: STAT})
LINE = Schema({4: EVENT}, frozenset({2, 11}))
EVENT_METADATA = Schema({2: Schema({5: STAT}, frozenset({2, 4}))})
STAT_METADATA = Schema({2: Schema({}, frozenset({2, 3}))})
PLANE = Schema({3: LINE, 4: EVENT_METADATA, 5: STAT_METADATA, 6: STAT}, frozenset({2}))
SPACE = Schema({1: PLANE}, frozenset({2, 3, HOSTS_FIELD}))
# Names of hosts are always rewritten, whether known or not.
HOST_KEY = "hostname"


class Field(NamedTuple):
    """A field with a length: its number, and the offsets of its start, of its body and of its end."""

    number: int
    start: int
    body: int
    end: int


class NoMessageError(Exception):
    """The bytes are no protobuf message."""


@dataclass(frozen=True)
class Rewriting:
    """How texts are rewritten: by `clean(text, key)` in a known field, by `blank(text)` in unknown bytes."""

    clean: Callable[[str, str], str]
    blank: Callable[[str], str]


def rewritten(data: bytes, prefilter: Prefilter, rewriting: Rewriting) -> bytes:
    """Return an XPlane file with its texts rewritten; bytes that are not protobuf are treated as text, or blanked."""
    return _XPlaneRewriter(data, prefilter.hits(data), rewriting).space()


def texts(data: bytes, prefilter: Prefilter) -> list[tuple[str, str]]:
    """Return the texts of an XPlane file that may hold a fact, each with its key."""
    texts_found: list[tuple[str, str]] = []

    def keep_text(text: str, key: str = "") -> str:
        texts_found.append((text, key))
        return text

    rewritten(data, prefilter, Rewriting(keep_text, keep_text))
    return texts_found


class _XPlaneRewriter:
    """Rewrites the texts of one XPlane file.

    `hits` are the sorted byte offsets at which an identifying fact may stand. What holds no hit is copied, except the
    names of hosts in their own field, which are always rewritten.
    """

    def __init__(self, data: bytes, hits: Sequence[int], rewriting: Rewriting) -> None:
        self._data, self._hits, self._how = data, hits, rewriting

    def space(self) -> bytes:
        try:
            return self._message(0, len(self._data), SPACE, 0)
        except NoMessageError:
            return self._unknown(0, len(self._data), 0) if self._hits else self._data

    def _touched(self, start: int, end: int) -> bool:
        hit_index = bisect_left(self._hits, start)
        return hit_index < len(self._hits) and self._hits[hit_index] < end

    def _message(self, start: int, end: int, schema: Schema | None, depth: int) -> bytes:
        rewritten_parts, copied_until = [], start
        for field in self._fields(start, end):
            is_hosts_field = schema is SPACE and field.number == HOSTS_FIELD
            if not is_hosts_field and not self._touched(field.body, field.end):
                continue
            new_body = self._body(field, schema, depth + 1, HOST_KEY if is_hosts_field else "")
            if new_body != self._data[field.body : field.end]:
                rewritten_parts += [
                    self._data[copied_until : field.start],
                    varint(field.number << 3 | LENGTH),
                    varint(len(new_body)),
                    new_body,
                ]
                copied_until = field.end
        return b"".join([*rewritten_parts, self._data[copied_until:end]])

    def _body(self, field: Field, schema: Schema | None, depth: int, key: str) -> bytes:
        if schema is not None and field.number in schema.texts:
            return self._text(field.body, field.end, key)
        if schema is not None and field.number in schema.messages:
            return self._message(field.body, field.end, schema.messages[field.number], depth)
        return self._unknown(field.body, field.end, depth)

    def _unknown(self, start: int, end: int, depth: int) -> bytes:
        """Rewrite bytes that may be a text or a message; a message hardly ever consists of printable bytes."""
        unknown_bytes = self._data[start:end]
        # The tag of a text in field 1 equals a line feed.
        if unknown_bytes[:1] == b"\n" or not _is_printable(unknown_bytes):
            try:
                if depth < DEEPEST and self._holds_all_hits(start, end):
                    return self._message(start, end, None, depth)
            except NoMessageError:
                pass
            if not _is_text(unknown_bytes):
                return self._how.blank(unknown_bytes.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return self._text(start, end, "")

    def _holds_all_hits(self, start: int, end: int) -> bool:
        """Return whether all hits lie in fields that have a length.

        Raises NoMessageError for bytes that are no message.
        """
        first_hit, last_hit = bisect_left(self._hits, start), bisect_left(self._hits, end)
        hits_in_fields = sum(
            bisect_left(self._hits, field.end) - bisect_left(self._hits, field.body)
            for field in self._fields(start, end)
        )
        return hits_in_fields == last_hit - first_hit

    def _text(self, start: int, end: int, key: str) -> bytes:
        # Names in a trace may be no UTF-8.
        text = self._data[start:end].decode(errors="surrogateescape")
        return self._how.clean(text, key).encode(errors="surrogateescape")

    def _fields(self, position: int, end: int) -> Iterator[Field]:
        """Yield the fields that have a length. Raises NoMessageError where the bytes are no message to their end."""
        data = self._data
        while position < end:
            start = position
            tag, position = _varint(data, position, end)
            number, wire_type = tag >> 3, tag & 7
            if not number or number >= 2**29:
                raise NoMessageError
            if wire_type == LENGTH:
                length, body = _varint(data, position, end)
                position = body + length
                if position > end:
                    raise NoMessageError
                yield Field(number, start, body, position)
            elif wire_type == VARINT:
                _, position = _varint(data, position, end)
            elif wire_type in FIXED:
                position += FIXED[wire_type]
            else:
                raise NoMessageError
        if position != end:
            raise NoMessageError


def varint(number: int) -> bytes:
    """Encode a number as a varint."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise NoMessageError


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _is_printable(data: bytes) -> bool:
    return _is_text(data) and not any(byte < 0x20 and byte not in b"\t\n\r" for byte in data)
