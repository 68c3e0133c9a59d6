"""Converts a JSON file's microseconds to whole picoseconds without losing a digit."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.units import PS_PER_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.traces.timeline import Int64s

# A larger time is damage: 146,000 years.
LONGEST_US = 2**62
# Below it the picosecond nearest to a 64-bit float of microseconds is the one that was written. Above it, up to
# `chrome_json.FLOAT_US`, the nearest nanosecond is, and traces give no more digits there.
PICOSECONDS_US = 2.0**31


def split_us(times: Sequence[float | Decimal | None]) -> tuple[Int64s, Int64s]:
    """Split times in us (n,) into whole us and the remaining ps (0 to 999,999), both (n,) int64; None is read as 0.

    Raises OverflowError where a time is beyond any clock.
    """
    kinds = set(map(type, times))
    if kinds == {float}:
        return _floats(np.array(times, np.float64))
    times_us: list[float | Decimal] = [0 if time is None else time for time in times]
    kinds.discard(type(None))
    if kinds <= {int}:
        whole = np.array(times_us, np.int64)
        return whole, np.zeros_like(whole)
    if Decimal in kinds:
        return _decimals(times_us)
    return _floats(np.array(times_us, np.float64))


def _floats(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Int64s, Int64s]:
    if len(times) and not np.abs(times).max() < LONGEST_US:
        raise OverflowError
    whole = np.floor(times)
    digits = np.where(np.abs(times) < PICOSECONDS_US, 1e6, 1e3)
    rest = np.rint((times - whole) * digits) * (PS_PER_US / digits)
    return _carried(whole.astype(np.int64), rest.astype(np.int64))


def _decimals(times: Sequence[float | Decimal]) -> tuple[Int64s, Int64s]:
    exact = [Decimal(time) for time in times]
    if not all(time.is_finite() and -LONGEST_US < time < LONGEST_US for time in exact):
        raise OverflowError
    picoseconds = [int((time * PS_PER_US).to_integral_value(ROUND_HALF_EVEN)) for time in exact]
    whole, rest = zip(*(divmod(time, PS_PER_US) for time in picoseconds), strict=True)
    return np.array(whole, np.int64), np.array(rest, np.int64)


def _carried(whole: Int64s, rest: Int64s) -> tuple[Int64s, Int64s]:
    """Carry a remainder that was rounded up to a whole microsecond."""
    return whole + rest // PS_PER_US, rest % PS_PER_US
