"""The rows of a log, whatever their format: their columns, and what is damaged or left out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.logs.headings import Column
    from gpuprobe.logs.log import Log
    from gpuprobe.telemetry.recording import Telemetry

# A log is refused if more than one line in so many is damaged, as by two writers or a full disk.
LINES_FOR_A_DAMAGED_ONE = 100


LEADING = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


# DCGM's fractions may exceed 1 by rounding.
FRACTION_AT_MOST = 1.5


def scaled(columns: list[Column], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Return the columns with DCGM's fractions taken for percentages if any value in the log exceeds 1."""
    shares = [index for index, column in enumerate(columns) if column.unit == "1"]
    cells = (row[index] for row in rows if len(row) == len(columns) for index in shares)
    if any((match := LEADING.match(cell)) and float(match[0]) > FRACTION_AT_MOST for cell in cells):
        return [replace(column, unit="%") if column.unit == "1" else column for column in columns]
    return columns


def without_repeated(log: Log, columns: list[Column]) -> list[Column]:
    """Drop columns that have the same name, such as momentary and mean power, and say which are not used."""
    unknown = [column.title for column in columns if column.kind == "unknown" and column.title]
    seen: set[str] = set()
    twice: list[str] = []
    for index, column in enumerate(columns):
        summed_up = column.kind == "reason" and any(other.name == "throttle_reasons" for other in columns)
        again = column.kind in {"value", "hex"} and column.name in seen
        if again or summed_up:
            columns[index] = replace(column, kind="unknown")
        if again:
            twice.append(column.title)
        seen.add(column.name)
    for why, titles in (("not known", unknown), ("another column tells it", twice)):
        words = f"not used, because {why}: {', '.join(titles)}"
        if titles and words not in log.assumed:
            log.assumed.append(words)
    return columns


def take_whole(log: Log, where: str, columns: Sequence[Column], cells: Sequence[str]) -> None:
    """Add a row, or count it as damaged if a cell is no value of its column."""
    try:
        _take_row(log, where, columns, cells)
    except InputError as error:
        log.damaged.append(str(error))


def _take_row(log: Log, where: str, columns: Sequence[Column], cells: Sequence[str]) -> None:
    by_kind = {column.kind: cell for column, cell in zip(columns, cells, strict=True)}
    gpu = by_kind.get("index") or by_kind.get("identity") or "0"
    stamp = by_kind["time"] if "time" in by_kind else f"{by_kind.get('date', '')} {by_kind.get('clock', '')}".strip()
    t_ns = log.time_ns(where, stamp) if "time" in by_kind or "clock" in by_kind else None
    values: dict[str, float] = {}
    for column, cell in zip(columns, cells, strict=True):
        if column.kind in {"value", "hex", "reason", "fact", "fact_number"}:
            log.take(where, column, cell, gpu, values)
        elif column.kind == "identity":
            log.facts.setdefault(gpu, {})[column.name] = cell
    log.add(t_ns, gpu, values)


def leave_out(log: Log, path: Path, number: int, cells: int, expected: int, *, cut: bool) -> None:
    """Count a row with too few or too many cells as damaged; a last one that is cut off is only left out."""
    if cut and cells < expected:
        log.assumed.append(f"the last line ({number}) is cut off and left out")
    else:
        log.damaged.append(f"{path}:{number}: has {cells} cells where {expected} are expected")


def finished_log(log: Log, path: Path, lines: int) -> Telemetry:
    """Return the recording of a log of so many lines. Raises InputError where too many are damaged, or none is left."""
    if log.damaged and len(log.damaged) * LINES_FOR_A_DAMAGED_ONE > lines:
        raise InputError(log.damaged[0])
    if log.damaged:
        log.assumed.append(f"damaged lines are left out, {len(log.damaged)} in all; {log.damaged[0]}")
    if not log.rows:
        raise InputError(f"{path}: holds no row of {log.source}, only its header")
    return log.finished()
