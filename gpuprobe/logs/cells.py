"""Reads the cells of a log: a number with its unit, and a time stamp."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.logs import headings
from gpuprobe.telemetry import clock
from gpuprobe.telemetry.recording import LARGEST_VALUE
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.logs.headings import Column

# Spreadsheets in many languages write a decimal comma.
VALUE = re.compile(r"([-+]?\d+(?:[.,]\d*)?(?:[eE][-+]?\d+)?)\s*([a-zA-Z%/]*)")
# A mask of 64 bits.
HEX = re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE)
TIME = re.compile(
    r"(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)[T ]+(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|UTC|([-+])(\d\d):?(\d\d))?"
)
# The format of `date`.
DATE = "%a %b %d %H:%M:%S %Y"
# Seconds, milliseconds, microseconds or nanoseconds since 1970, by the number's size; valid until the year 2255.
EPOCHS = ((9e9, 1e9), (9e12, 1e6), (9e15, 1e3), (9e18, 1.0))


def number_in_cell(file_and_line: str, column: Column, cell: str) -> float:
    """Return the number in a cell, in the unit of its column's name. Raises InputError with `file_and_line`."""
    number = (
        float(int(cell, 16)) if column.kind == "hex" and HEX.fullmatch(cell) else _number(file_and_line, column, cell)
    )
    if not abs(number) <= LARGEST_VALUE:
        raise InputError(f"{file_and_line}: {cell[:80]!r} is no value of {column.title!r}")
    return number


def _number(file_and_line: str, column: Column, cell: str) -> float:
    number_and_unit = VALUE.fullmatch(cell[1:] if column.name == "performance_state" and cell[:1] in "Pp" else cell)
    if number_and_unit is None:
        raise InputError(f"{file_and_line}: {cell[:80]!r} is no value of {column.title!r}")
    unit = number_and_unit[2] or column.unit
    unit_scale = headings.scale(column.name, unit)
    if unit_scale is None:
        raise InputError(f"{file_and_line}: {unit[:80]!r} is not a known unit of {column.title!r}")
    return float(number_and_unit[1].replace(",", ".")) * unit_scale


def time_ns(file_and_line: str, cell: str) -> int:
    """Return a time stamp in ns since 1970, in UTC where it names no zone. Raises InputError with `file_and_line`."""
    try:
        stamp_ns = _stamp_ns(cell)
    except (ValueError, OverflowError):
        stamp_ns = None
    if stamp_ns is None or not 0 <= stamp_ns < clock.LATEST_NS:
        raise InputError(f"{file_and_line}: {cell[:80]!r} is no time stamp")
    return stamp_ns


def _stamp_ns(cell: str) -> int | None:
    date_and_time = TIME.fullmatch(cell)
    if date_and_time:
        stamp = datetime(*map(int, date_and_time.groups()[:6]), tzinfo=timezone.utc)  # type: ignore[arg-type, misc]
        if date_and_time[9]:
            zone_offset = timedelta(hours=int(date_and_time[10]), minutes=int(date_and_time[11]))
            stamp -= zone_offset if date_and_time[9] == "+" else -zone_offset
        return int(stamp.timestamp()) * NS_PER_S + int((date_and_time[7] or "0").ljust(9, "0"))
    if cell[:1].isalpha() and cell[:1].isupper():
        return int(datetime.strptime(cell, DATE).replace(tzinfo=timezone.utc).timestamp()) * NS_PER_S
    since_epoch = float(cell.replace(",", "."))
    return next(
        (int(since_epoch * ns_per_unit) for epoch_below, ns_per_unit in EPOCHS if 0 <= since_epoch < epoch_below), None
    )
