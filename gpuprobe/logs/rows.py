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

# A log is refused if more than one line in this many is damaged. Two writers or a full disk damage lines.
LINES_FOR_A_DAMAGED_ONE = 100


LEADING_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


# DCGM's fractions may exceed 1 by rounding.
FRACTION_AT_MOST = 1.5


def scaled(columns: list[Column], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Return the columns with DCGM's fractions taken for percentages if any value in the log exceeds 1."""
    fraction_columns = [index for index, column in enumerate(columns) if column.unit == "1"]
    fraction_cells = (row[index] for row in rows if len(row) == len(columns) for index in fraction_columns)
    if any((number := LEADING_NUMBER.match(cell)) and float(number[0]) > FRACTION_AT_MOST for cell in fraction_cells):
        return [replace(column, unit="%") if column.unit == "1" else column for column in columns]
    return columns


def without_repeated(log: Log, columns: list[Column]) -> list[Column]:
    """Drop columns that have the same name, such as momentary and mean power, and say which are not used."""
    unknown_titles = [column.title for column in columns if column.kind == "unknown" and column.title]
    names_before: set[str] = set()
    repeated_titles: list[str] = []
    for index, column in enumerate(columns):
        in_reason_mask = column.kind == "reason" and any(other.name == "throttle_reasons" for other in columns)
        is_repeated = column.kind in {"value", "hex"} and column.name in names_before
        if is_repeated or in_reason_mask:
            columns[index] = replace(column, kind="unknown")
        if is_repeated:
            repeated_titles.append(column.title)
        names_before.add(column.name)
    for why, titles in (("not known", unknown_titles), ("another column holds the same", repeated_titles)):
        not_used = f"not used, because {why}: {', '.join(titles)}"
        if titles and not_used not in log.assumed:
            log.assumed.append(not_used)
    return columns


def take_whole(log: Log, file_and_line: str, columns: Sequence[Column], cells: Sequence[str]) -> None:
    """Add a row, or count it as damaged if a cell does not fit its column."""
    try:
        _take_row(log, file_and_line, columns, cells)
    except InputError as error:
        log.damaged.append(str(error))


def _take_row(log: Log, file_and_line: str, columns: Sequence[Column], cells: Sequence[str]) -> None:
    by_kind = {column.kind: cell for column, cell in zip(columns, cells, strict=True)}
    gpu = by_kind.get("index") or by_kind.get("identity") or "0"
    stamp = by_kind["time"] if "time" in by_kind else f"{by_kind.get('date', '')} {by_kind.get('clock', '')}".strip()
    t_ns = log.time_ns(file_and_line, stamp) if "time" in by_kind or "clock" in by_kind else None
    row_values: dict[str, float] = {}
    for column, cell in zip(columns, cells, strict=True):
        if column.kind in {"value", "hex", "reason", "fact", "fact_number"}:
            log.take(file_and_line, column, cell, gpu, row_values)
        elif column.kind == "identity":
            log.facts.setdefault(gpu, {})[column.name] = cell
    log.add(t_ns, gpu, row_values)


def leave_out(log: Log, path: Path, line_number: int, cell_count: int, expected_cells: int, *, cut: bool) -> None:
    """Count a row with too few or too many cells as damaged; a last one that is cut off is only left out."""
    if cut and cell_count < expected_cells:
        log.assumed.append(f"the last line ({line_number}) is cut off and left out")
    else:
        log.damaged.append(f"{path}:{line_number}: has {cell_count} cells where {expected_cells} are expected")


def finished_log(log: Log, path: Path, line_count: int) -> Telemetry:
    """Return the recording of a log of `line_count` lines.

    Raises InputError where too many lines are damaged, or no row is left.
    """
    if log.damaged and len(log.damaged) * LINES_FOR_A_DAMAGED_ONE > line_count:
        raise InputError(log.damaged[0])
    if log.damaged:
        log.assumed.append(f"damaged lines are left out, {len(log.damaged)} in all; {log.damaged[0]}")
    if not log.rows:
        raise InputError(f"{path}: holds no row of {log.source}, only its header")
    return log.finished()
