"""Protobuf's wire format read at many places at once: https://protobuf.dev/programming-guides/encoding/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int64s

# Ten bytes of a varint, read as two words of eight that may both begin past the end.
PADDING = 24
CONTINUED = np.uint64(0x8080808080808080)
# Folding eight groups of 7 bits together: the groups that stay, those that move, and how far.
FOLDS = tuple(
    (np.uint64(stay), np.uint64(move), np.uint64(shift))
    for stay, move, shift in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)


class Wire:
    """Bytes to be read at many places at once; what lies past the end reads as zeros."""

    def __init__(self, data: bytes) -> None:
        self._padded = data + bytes(PADDING)
        self.bytes = np.frombuffer(self._padded, np.uint8)
        # The eight bytes that begin at each place: as many words as places, all in the same memory.
        self._words: NDArray[np.uint64] = np.ndarray((len(self._padded) - 7,), "<u8", self._padded, strides=(1,))

    def words(self, at: Int64s) -> Int64s:
        """Return the eight bytes at each place, (n,) int64."""
        return self._words[at].view(np.int64)

    def text(self, start: int, end: int) -> bytes:
        """Return the bytes of one stretch."""
        return self._padded[start:end]

    def varints(self, at: Int64s) -> tuple[Int64s, Int64s]:
        """Return the varints that begin at these places (n,) and where each ends, both (n,) int64.

        What is longer than ten bytes is cut there, as values are at 64 bits.
        """
        words = self._words[at]
        stops = ~words & CONTINUED
        # All bits up to and with the first byte that does not go on.
        kept = stops ^ (stops - np.uint64(1))
        value = words & kept & ~CONTINUED
        for stay, move, shift in FOLDS:
            value = (value & stay) | ((value & move) >> shift)
        after = at + (np.bitwise_count(kept) >> 3)
        long = np.flatnonzero(stops == 0)
        if len(long):
            value[long], after[long] = self._long(value[long], at[long] + 8)
        return value.view(np.int64), after

    def _long(self, low: NDArray[np.uint64], at: Int64s) -> tuple[NDArray[np.uint64], Int64s]:
        ninth, tenth = self.bytes[at].astype(np.uint64), self.bytes[at + 1].astype(np.uint64)
        ends = ninth < 0x80
        high = (ninth & np.uint64(0x7F)) << np.uint64(56)
        top = np.where(ends, np.uint64(0), (tenth & np.uint64(1)) << np.uint64(63))
        return low | high | top, at + np.where(ends, 1, 2)
