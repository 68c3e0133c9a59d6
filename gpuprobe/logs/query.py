"""Reads CSV of nvidia-smi `--query-gpu`, with or without header and units."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.logs import headings
from gpuprobe.logs.guess import guess
from gpuprobe.logs.log import Log
from gpuprobe.logs.refused import message
from gpuprobe.logs.rows import finished_log, leave_out, scaled, take_whole, without_repeated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gpuprobe.logs.headings import Column
    from gpuprobe.telemetry.recording import Telemetry

FRACTION_AND_ZONE = re.compile(r"\d{9}[-+]\d\d:\d\d")


def read_query(path: Path, lines: list[tuple[int, str]], given_columns: str, *, last_line_whole: bool) -> Telemetry:
    """Read numbered lines of CSV; `given_columns` are the titles of the columns where the user gave them.

    Without `last_line_whole` the file ends within its last line, which is left out if it is no CSV.
    """
    log = Log("nvidia-smi --query-gpu", path)
    rows = list(_split(path, lines, last_line_whole=last_line_whole))
    columns = _columns(log, path, rows, given_columns)
    columns = scaled(columns, [cells for _, cells in rows])
    for row_index, (line_number, cells) in enumerate(rows):
        driver_message = message(",".join(cells)) if len(cells) < len(columns) else None
        if driver_message:
            log.note(driver_message[0], bus=driver_message[1])
        elif headings.is_header(cells):
            columns = scaled(
                without_repeated(log, [headings.column(cell) for cell in cells]), [cells for _, cells in rows]
            )
        elif len(cells) == len(columns):
            take_whole(log, f"{path}:{line_number}", columns, cells)
        else:
            leave_out(log, path, line_number, len(cells), len(columns), cut=row_index == len(rows) - 1)
    return finished_log(log, path, len(rows))


def _columns(log: Log, path: Path, rows: list[tuple[int, list[str]]], given_columns: str) -> list[Column]:
    """Return what the columns of the first row are: named by the user, by their header, or guessed by their units."""
    line_number, first_row = rows[0]
    if given_columns:
        columns = [headings.column(given_name) for given_name in given_columns.split(",")]
    elif headings.is_header(first_row):
        columns = [headings.column(given_name) for given_name in first_row]
    else:
        columns, assumed = guess([cells for _, cells in rows])
        log.assumed += assumed
    if not any(column.kind in {"value", "hex"} for column in columns):
        raise InputError(
            f"{path}:{line_number}: no column of nvidia-smi is known in {', '.join(first_row)[:80]!r}; "
            "this reads telemetry of gpuprobe, nvidia-smi --query-gpu CSV, and nvidia-smi dmon; where a log has no "
            "header, name its columns: --columns timestamp,index,utilization.gpu"
        )
    return without_repeated(log, columns)


def _split(path: Path, lines: list[tuple[int, str]], *, last_line_whole: bool) -> Iterator[tuple[int, list[str]]]:
    first_line = lines[0][1]
    delimiter = max(",;\t", key=first_line.count)
    for line_number, line in lines:
        try:
            reader = csv.reader([line.replace("\0", "")], skipinitialspace=True, delimiter=delimiter)
            cells = [cell.strip() for cell in next(reader)]
            # `date --iso-8601=ns` writes a comma before the fraction, unquoted.
            if len(cells) > 1 and FRACTION_AND_ZONE.fullmatch(cells[1]):
                cells[:2] = [f"{cells[0]}.{cells[1]}"]
            yield line_number, cells
        except (csv.Error, StopIteration) as error:
            if line_number == lines[-1][0] and not last_line_whole:
                return
            raise InputError(f"{path}:{line_number}: is no line of CSV ({error})") from error
