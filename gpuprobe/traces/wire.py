"""Reads protobuf's wire format at many offsets at once: https://protobuf.dev/programming-guides/encoding/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int64s

# Zeros after the end: a varint has up to ten bytes, read as two words of eight, which may begin past the end.
PADDING = 24
CONTINUED = np.uint64(0x8080808080808080)
PAYLOAD, ONE, ALL = ~CONTINUED, np.uint64(1), 2**64 - 1
# How eight groups of 7 bits are packed into one number, in three rounds: the mask of groups that stay, that of those
# that move, by how many bits, and the largest word for which this round is the last (two bytes, four).
FOLDS = tuple(
    (np.uint64(stay), np.uint64(move), np.uint64(shift), enough)
    for stay, move, shift, enough in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1, 2**16 - 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2, 2**32 - 1),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4, ALL),
    )
)


class Wire:
    """Bytes that are read at many offsets at once; past the end they read as zeros."""

    def __init__(self, data: bytes) -> None:
        self._padded = data + bytes(PADDING)
        self.bytes = np.frombuffer(self._padded, np.uint8)
        # The eight bytes at each offset: overlapping words in the same memory.
        self._words: NDArray[np.uint64] = np.ndarray((len(self._padded) - 7,), "<u8", self._padded, strides=(1,))

    def words(self, at: Int64s) -> Int64s:
        """Return the eight bytes at each offset as a little-endian word, (n,) int64."""
        return self._words[at].view(np.int64)

    def text(self, start: int, end: int) -> bytes:
        """Return the bytes of one stretch."""
        return self._padded[start:end]

    def varints(self, at: Int64s) -> tuple[Int64s, Int64s]:
        """Return the varints at these offsets (n,) and the offset after each, both (n,) int64.

        Varints are cut after ten bytes, and values at 64 bits.
        """
        # In place from here on: allocating a new column takes as long as the arithmetic.
        value = self._words[at]
        stops = ~value
        stops &= CONTINUED
        # A mask of all bits up to the end of the first byte without a continuation bit.
        kept = stops - ONE
        kept ^= stops
        value &= kept
        value &= PAYLOAD
        longest = int(kept.max()) if len(kept) else 0
        for stay, move, shift, enough in FOLDS:
            moved = value & move
            moved >>= shift
            value &= stay
            value |= moved
            if longest <= enough:
                break
        after = at + (np.bitwise_count(kept) >> 3)
        if longest == ALL:
            long = np.flatnonzero(stops == 0)
            value[long], after[long] = self._long(value[long], at[long] + 8)
        return value.view(np.int64), after

    def _long(self, low: NDArray[np.uint64], at: Int64s) -> tuple[NDArray[np.uint64], Int64s]:
        ninth, tenth = self.bytes[at].astype(np.uint64), self.bytes[at + 1].astype(np.uint64)
        ends = ninth < 0x80
        high = (ninth & np.uint64(0x7F)) << np.uint64(56)
        top = np.where(ends, np.uint64(0), (tenth & np.uint64(1)) << np.uint64(63))
        return low | high | top, at + np.where(ends, 1, 2)
