"""Keeps TensorFlow's profiler from writing to memory that it has freed, which crashed workers as their trace stopped.

As a trace stops, `TraceMeRecorder::Consume` collects the events of all threads in a vector, thread by thread. Of an
event that one thread began and another one ended it keeps a pointer to the end, until it has come to the beginning.
Where the vector grows meanwhile, it copies its elements and destroys the old ones (it moves none, since moving a deque
of libstdc++ may throw). `HandleCrossThreadEvents` then writes through the pointer: into freed memory (TensorFlow 2.21).

A process that trains alone has no such events. Of the workers of a cluster all but the first have one in each exchange:
`CollectiveExecutor::CompleteParams` asks the first worker, and ends in the thread that receives the answer.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpuprobe.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = "libtensorflow_framework.so"
MAPPED = Path("/proc/self/maps")
UNSAFE = "TensorFlow's profiler has crashed workers as it stopped, and gpuprobe cannot keep this build of it from that"
# std::deque<tsl::profiler::TraceMeRecorder::Event>::~deque(), by both names that a compiler may call it by.
DESTRUCTORS = tuple(
    b"_ZNSt5dequeIN3tsl8profiler15TraceMeRecorder5EventESaIS3_EE" + end for end in (b"D1Ev\0", b"D2Ev\0")
)
# The format ELF: how a 64-bit file in little-endian order begins, and the kinds of its parts that are read here.
ELF_64 = b"\x7fELF\x02\x01"
SEGMENT, ENTRY, SYMBOL, CALL = "<IIQQQQ", "<qQ", "<IBBHQQ", "<QQq"
LOADED, DYNAMIC = 1, 2
CALLS_BYTES, STRINGS, SYMBOLS, CALLS = 2, 5, 6, 23


class Area(NamedTuple):
    """A mapped part of the library: its addresses, whether it can be written, and where in the file it begins."""

    start: int
    end: int
    writable: bool
    offset: int


@contextmanager
def kept_events() -> Iterator[None]:
    """Let the block, which stops a trace, leave the events that it copies in memory.

    Their destructor does nothing meanwhile, so that what is written through old pointers does no harm. This costs the
    memory of these copies, 4.5 MiB for a trace of 40,000 events. Raises MissingError before the block begins.
    """
    calls = [ctypes.c_void_p.from_address(address) for address in destructor_calls()]
    before = [call.value for call in calls]
    # It takes no argument and changes nothing.
    nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value
    for call in calls:
        call.value = nothing
    try:
        yield
    finally:
        for call, value in zip(calls, before, strict=True):
            call.value = value


@cache
def destructor_calls() -> tuple[int, ...]:
    """Return where in memory TensorFlow's library has the addresses by which it calls the destructor of the events.

    Raises MissingError where there is none, or one that cannot be written.
    """
    try:
        path, areas = _mapped()
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            base, offsets = _destructor_calls(image)
        base = next(area.start for area in areas if area.offset == 0) - base
    except (OSError, ValueError, LookupError, StopIteration, struct.error) as error:
        raise MissingError(UNSAFE) from error
    calls = tuple(base + offset for offset in offsets)
    if not calls or not all(any(area.start <= one < area.end and area.writable for area in areas) for one in calls):
        raise MissingError(UNSAFE)
    return calls


def _mapped() -> tuple[Path, list[Area]]:
    """Return the file of TensorFlow's library, and its mapped parts. Raises IndexError where it is not loaded."""
    lines = [line.split(maxsplit=5) for line in MAPPED.read_text().splitlines() if LIBRARY in line]
    areas = []
    for addresses, rights, offset, *_ in lines:
        start, end = (int(address, 16) for address in addresses.split("-"))
        areas.append(Area(start, end, "w" in rights, int(offset, 16)))
    return Path(lines[0][5]), areas


def _destructor_calls(image: mmap.mmap) -> tuple[int, list[int]]:
    """Return the address of the file's beginning, and those of the entries for the destructor among its calls.

    Raises ValueError, KeyError or struct.error where it is no such library.
    """
    if image[: len(ELF_64)] != ELF_64:
        raise ValueError
    (first,), (size, count) = struct.unpack_from("<Q", image, 32), struct.unpack_from("<HH", image, 54)
    segments = [struct.unpack_from(SEGMENT, image, first + size * number) for number in range(count)]
    loaded: list[tuple[int, int, int]] = [
        (offset, address, length) for kind, _, offset, address, _, length in segments if kind == LOADED
    ]

    def place(address: int) -> int:
        return next(address - start + offset for offset, start, length in loaded if 0 <= address - start < length)

    start, length = next((offset, length) for kind, _, offset, _, _, length in segments if kind == DYNAMIC)
    entries: dict[int, int] = dict(struct.iter_unpack(ENTRY, image[start : start + length]))
    strings, symbols, calls = (place(entries[kind]) for kind in (STRINGS, SYMBOLS, CALLS))
    found: list[int] = []
    for slot, info, _ in struct.iter_unpack(CALL, image[calls : calls + entries[CALLS_BYTES]]):
        name = strings + struct.unpack_from(SYMBOL, image, symbols + struct.calcsize(SYMBOL) * (info >> 32))[0]
        if any(image[name : name + len(destructor)] == destructor for destructor in DESTRUCTORS):
            found.append(slot)
    return next(address for offset, address, _ in loaded if offset == 0), found
