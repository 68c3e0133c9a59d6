"""Reads logs: CSV of nvidia-smi `--query-gpu`, with or without header and units, and `dmon` of nvidia-smi and dcgmi.

Source of the names and units: `nvidia-smi --help-query-gpu`, `nvidia-smi dmon -h` and `dcgmi dmon -l`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.errors import InputError
from gpuprobe.foreign import visible
from gpuprobe.logs import headings
from gpuprobe.logs.guess import guess
from gpuprobe.logs.log import Log
from gpuprobe.logs.refused import message, refusal
from gpuprobe.telemetry.recording import Telemetry, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gpuprobe.logs.headings import Column

# A log is refused if more than one line in so many is damaged, as by two writers or a full disk.
LINES_FOR_A_DAMAGED_ONE = 100
# Bytes that no text holds, and those with which JSON begins.
BINARY = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
JSON = re.compile(r"\{|\[\s*[\[{\]\"]")
FRACTION = re.compile(r"\d{9}[-+]\d\d:\d\d")
LEADING = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
# DCGM's fractions may exceed 1 by rounding.
FRACTION_AT_MOST = 1.5
# Entities in dcgmi's rows other than cards: parts of a card, its links and its host.
PARTS = re.compile(r"(GPU-I|GPU-CI|CI|CPU|CPU-CORE|Core|Switch|NvSwitch|Link|NIC)\b", re.IGNORECASE)


def read_any(path: Path, columns: str = "") -> Telemetry:
    """Read a recording of gpuprobe or a log of nvidia-smi or dcgmi. Raises InputError, with the line, for other files.

    `columns` are those of a log without a header, as given to `--query-gpu`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            content = head + file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as telemetry ({error.strerror})") from error
    if head.startswith(b"t_ns,"):
        return read(path)
    text = visible(_decoded(content).replace("\0", "").replace("\r\n", "\n").replace("\r", "\n"))
    lines = [(number, line.strip(" \r")) for number, line in enumerate(text.splitlines(), 1) if line.strip(" \t\0,;")]
    if not lines:
        raise InputError(f"{path}: is empty; it should hold telemetry of gpuprobe or a log of nvidia-smi")
    refused = refusal(lines) if not columns else None
    if refused:
        raise InputError(f"{path}: {refused}")
    whole = text.endswith(("\n", "\r"))
    if lines[0][1].startswith("#"):
        return _read_dmon(path, lines)
    return _read_query(path, lines, columns, whole=whole)


def is_log(path: Path) -> bool:
    """Return whether a file may be a log, by its first bytes: text, and no JSON."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return False
    text = _decoded(head).lstrip()
    return bool(text) and not BINARY.search(text) and not JSON.match(text)


def _decoded(content: bytes) -> str:
    """Decode the text: Windows PowerShell redirects output as UTF-16."""
    utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")


def _read_query(path: Path, lines: list[tuple[int, str]], names: str, *, whole: bool) -> Telemetry:
    log = Log("nvidia-smi --query-gpu", path)
    rows = list(_split(path, lines, whole=whole))
    columns = _columns(log, path, rows, names)
    columns = _scaled(columns, [cells for _, cells in rows])
    for place, (number, cells) in enumerate(rows):
        said = message(",".join(cells)) if len(cells) < len(columns) else None
        if said:
            log.note(said[0], bus=said[1])
        elif headings.is_header(cells):
            columns = _scaled(_known(log, [headings.column(cell) for cell in cells]), [cells for _, cells in rows])
        elif len(cells) == len(columns):
            _take_whole(log, f"{path}:{number}", columns, cells)
        else:
            _leave_out(log, path, number, len(cells), len(columns), cut=place == len(rows) - 1)
    return _finished(log, path, len(rows))


def _columns(log: Log, path: Path, rows: list[tuple[int, list[str]]], names: str) -> list[Column]:
    """Return what the columns of the first row are: named by the user, by their header, or guessed by their units."""
    number, first = rows[0]
    if names:
        columns = [headings.column(name) for name in names.split(",")]
    elif headings.is_header(first):
        columns = [headings.column(name) for name in first]
    else:
        columns, assumed = guess([cells for _, cells in rows])
        log.assumed += assumed
    if not any(column.kind in {"value", "hex"} for column in columns):
        raise InputError(
            f"{path}:{number}: no column of nvidia-smi is known in {', '.join(first)[:80]!r}; "
            "this reads telemetry of gpuprobe, nvidia-smi --query-gpu CSV, and nvidia-smi dmon; where a log has no "
            "header, name its columns: --columns timestamp,index,utilization.gpu"
        )
    return _known(log, columns)


def _scaled(columns: list[Column], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Return the columns with DCGM's fractions taken for percentages if any value in the log exceeds 1."""
    shares = [place for place, column in enumerate(columns) if column.unit == "1"]
    cells = (row[place] for row in rows if len(row) == len(columns) for place in shares)
    if any((match := LEADING.match(cell)) and float(match[0]) > FRACTION_AT_MOST for cell in cells):
        return [replace(column, unit="%") if column.unit == "1" else column for column in columns]
    return columns


def _known(log: Log, columns: list[Column]) -> list[Column]:
    """Drop columns that have the same name, such as momentary and mean power, and say which are not used."""
    unknown = [column.title for column in columns if column.kind == "unknown" and column.title]
    seen: set[str] = set()
    twice: list[str] = []
    for place, column in enumerate(columns):
        summed_up = column.kind == "reason" and any(one.name == "throttle_reasons" for one in columns)
        again = column.kind in {"value", "hex"} and column.name in seen
        if again or summed_up:
            columns[place] = replace(column, kind="unknown")
        if again:
            twice.append(column.title)
        seen.add(column.name)
    for why, titles in (("not known", unknown), ("another column tells it", twice)):
        words = f"not used, because {why}: {', '.join(titles)}"
        if titles and words not in log.assumed:
            log.assumed.append(words)
    return columns


def _split(path: Path, lines: list[tuple[int, str]], *, whole: bool) -> Iterator[tuple[int, list[str]]]:
    first = lines[0][1]
    between = max(",;\t", key=first.count)
    for number, line in lines:
        try:
            reader = csv.reader([line.replace("\0", "")], skipinitialspace=True, delimiter=between)
            cells = [cell.strip() for cell in next(reader)]
            # `date --iso-8601=ns` writes a comma before the fraction, unquoted.
            if len(cells) > 1 and FRACTION.fullmatch(cells[1]):
                cells[:2] = [f"{cells[0]}.{cells[1]}"]
            yield number, cells
        except (csv.Error, StopIteration) as error:
            if number == lines[-1][0] and not whole:
                return
            raise InputError(f"{path}:{number}: is no line of CSV ({error})") from error


def _take_whole(log: Log, where: str, columns: Sequence[Column], cells: Sequence[str]) -> None:
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


def _leave_out(log: Log, path: Path, number: int, found: int, expected: int, *, cut: bool) -> None:
    if cut and found < expected:
        log.assumed.append(f"the last line ({number}) is cut off and left out")
    else:
        log.damaged.append(f"{path}:{number}: has {found} cells where {expected} are expected")


def _finished(log: Log, path: Path, lines: int) -> Telemetry:
    if log.damaged and len(log.damaged) * LINES_FOR_A_DAMAGED_ONE > lines:
        raise InputError(log.damaged[0])
    if log.damaged:
        log.assumed.append(f"damaged lines are left out, {len(log.damaged)} in all; {log.damaged[0]}")
    if not log.rows:
        raise InputError(f"{path}: holds no row of {log.source}, only its header")
    return log.finished()


def _read_dmon(path: Path, lines: list[tuple[int, str]]) -> Telemetry:
    """Read rows of either dmon under a line of names, which begins with #, and a line of units; both repeat."""
    of_dcgm = headings.is_dcgm_names(_cells(lines[0][1]))
    log = Log("dcgmi dmon" if of_dcgm else "nvidia-smi dmon", path)
    columns: list[Column] = []
    rows = [_of_dcgm(_cells(line)) if of_dcgm else _cells(line) for _, line in lines]
    for place, ((number, line), cells) in enumerate(zip(lines, rows, strict=True)):
        where = f"{path}:{number}"
        said = message(line)
        if said:
            log.note(said[0], bus=said[1])
        elif line.startswith("#"):
            columns = _dmon_columns(log, cells, rows) or columns
        elif of_dcgm and (cells[0].lower() == "id" or PARTS.match(line)):
            _note_part(log, cells[0])
        elif not columns:
            raise InputError(f"{where}: a row before the line that names its columns (# gpu pwr ...)")
        elif len(cells) == len(columns):
            _take_whole(log, where, columns, cells)
        else:
            _leave_out(log, path, number, len(cells), len(columns), cut=place == len(lines) - 1)
    return _finished(log, path, len(lines))


def _cells(line: str) -> list[str]:
    return line.lstrip("#").replace(",", " ").split() or [""]


def _of_dcgm(cells: list[str]) -> list[str]:
    """Replace `GPU 0`, the first two words of a row of dcgmi, by the number of the card."""
    return [cells[1], *cells[2:]] if cells[0].upper() == "GPU" and len(cells) > 1 else cells


def _dmon_columns(log: Log, cells: list[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Return the columns named by a line with #; none if it has their units."""
    if headings.is_dcgm_names(cells):
        return _scaled(_known(log, [headings.dcgm_column(name) for name in cells]), rows)
    return [headings.dmon_column(name) for name in cells] if headings.is_dmon_names(cells) else []


def _note_part(log: Log, word: str) -> None:
    words = "rows of parts of a card (GPU-I, GPU-CI) and of what is no card are left out"
    if word.lower() != "id" and words not in log.assumed:
        log.assumed.append(words)
