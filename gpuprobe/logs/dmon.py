"""Reads `nvidia-smi dmon` and `dcgmi dmon`: rows under lines that name the columns and their units."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.logs import headings
from gpuprobe.logs.log import Log
from gpuprobe.logs.refused import message
from gpuprobe.logs.rows import finished_log, leave_out, scaled, take_whole, without_repeated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpuprobe.logs.headings import Column
    from gpuprobe.telemetry.recording import Telemetry

# Entities of dcgmi's rows that are not a whole card: instances of a card, links, processors of the host.
NOT_A_CARD = re.compile(r"(GPU-I|GPU-CI|CI|CPU|CPU-CORE|Core|Switch|NvSwitch|Link|NIC)\b", re.IGNORECASE)


def read_dmon(path: Path, lines: list[tuple[int, str]]) -> Telemetry:
    """Read a log of `nvidia-smi dmon` or `dcgmi dmon`: rows under a line of names, which begins with #.

    A line of units may follow, and both lines may repeat. Raises InputError where a row comes before the names.
    """
    is_dcgm = headings.is_dcgm_names(_cells(lines[0][1]))
    log = Log("dcgmi dmon" if is_dcgm else "nvidia-smi dmon", path)
    columns: list[Column] = []
    rows = [_without_entity_word(_cells(line)) if is_dcgm else _cells(line) for _, line in lines]
    for line_index, ((line_number, line), cells) in enumerate(zip(lines, rows, strict=True)):
        file_and_line = f"{path}:{line_number}"
        driver_message = message(line)
        if driver_message:
            log.note(driver_message[0], bus=driver_message[1])
        elif line.startswith("#"):
            columns = _dmon_columns(log, cells, rows) or columns
        elif is_dcgm and (cells[0].lower() == "id" or NOT_A_CARD.match(line)):
            _note_part(log, cells[0])
        elif not columns:
            raise InputError(f"{file_and_line}: a row before the line that names its columns (# gpu pwr ...)")
        elif len(cells) == len(columns):
            take_whole(log, file_and_line, columns, cells)
        else:
            leave_out(log, path, line_number, len(cells), len(columns), cut=line_index == len(lines) - 1)
    return finished_log(log, path, len(lines))


def _cells(line: str) -> list[str]:
    return line.lstrip("#").replace(",", " ").split() or [""]


def _without_entity_word(cells: list[str]) -> list[str]:
    """Replace `GPU 0`, the first two words of a row of dcgmi, by the number of the card."""
    return [cells[1], *cells[2:]] if cells[0].upper() == "GPU" and len(cells) > 1 else cells


def _dmon_columns(log: Log, cells: list[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Return the columns named by a line with #; none if it has their units."""
    if headings.is_dcgm_names(cells):
        return scaled(without_repeated(log, [headings.dcgm_column(name) for name in cells]), rows)
    return [headings.dmon_column(name) for name in cells] if headings.is_dmon_names(cells) else []


def _note_part(log: Log, entity: str) -> None:
    assumption = "rows about parts of a card (GPU-I, GPU-CI) and about other devices are left out"
    if entity.lower() != "id" and assumption not in log.assumed:
        log.assumed.append(assumption)
