"""Reads the logs of nvidia-smi as people keep them: `--query-gpu` CSV, with or without a header and units, and `dmon`.

Source of the names and units: `nvidia-smi --help-query-gpu` and `nvidia-smi dmon -h`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.telemetry import smi_names
from gpuprobe.telemetry.recording import Telemetry, read
from gpuprobe.telemetry.states import Said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from gpuprobe.telemetry.facts import Fact
    from gpuprobe.telemetry.smi_names import Column

# Both programs write a row a second where they are not told otherwise.
ASSUMED_INTERVAL_NS = 1_000_000_000
MISSING = re.compile(r"-|n/a|\[?(not supported|n/a|unknown error|insufficient permissions|gpu is lost).*|err!?", re.I)
VALUE = re.compile(r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*([a-zA-Z%/]*)")
TIME_FORMATS = (
    "%Y/%m/%d %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y%m%d %H:%M:%S",
)


def read_any(path: Path, columns: str = "") -> Telemetry:
    """Read a recording of gpuprobe or a log of nvidia-smi. Raises InputError, with the line, where it is neither.

    `columns` names those of a log without a header, as they were given to `--query-gpu`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            content = head + file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as telemetry ({error.strerror})") from error
    if head.startswith(b"t_ns,"):
        return read(path)
    text = _decoded(content)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip(" \t\0,")]
    if not lines:
        raise InputError(f"{path}: is empty; it should hold telemetry of gpuprobe or a log of nvidia-smi")
    whole = text.endswith(("\n", "\r"))
    if lines[0][1].startswith("#"):
        return _read_dmon(path, lines, whole=whole)
    return _read_query(path, lines, columns, whole=whole)


def _decoded(content: bytes) -> str:
    """Windows PowerShell writes what it redirects as UTF-16."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")


@dataclass
class _Log:
    """A log while it is read: cells by column, with the GPU and the time of each row."""

    source: str
    rows: list[tuple[int | None, str, dict[str, float]]] = field(default_factory=list)
    facts: dict[str, dict[str, Fact]] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    units: dict[str, tuple[str, str]] = field(default_factory=dict)

    def finished(self) -> Telemetry:
        """Number the GPUs, give rows without a time one, and turn all into columns."""
        numbers = _numbers([gpu for _, gpu, _ in self.rows])
        if any(t_ns is None for t_ns, _, _ in self.rows):
            self.assumed.append("the log holds no time stamps: one row a second for each GPU is assumed")
        counts: dict[str, int] = {}
        times: list[int] = []
        for t_ns, gpu, _ in self.rows:
            counts[gpu] = counts.get(gpu, -1) + 1
            times.append(counts[gpu] * ASSUMED_INTERVAL_NS if t_ns is None else t_ns)
        columns: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
        for place, (_, gpu, values) in enumerate(self.rows):
            for name, value in values.items():
                column = columns.setdefault(f"gpu{numbers[gpu]}_{name}", np.full(len(self.rows), np.nan))
                column[place] = value
        order = np.argsort(np.array(times, np.int64), kind="stable")
        start = min(times, default=0)
        said = [Said(start, "log", "assumed", words) for words in self.assumed]
        said += [
            Said(start, f"gpu{number}.{name}", "not_supported", f"nvidia-smi wrote {cell!r}")
            for number in sorted(set(numbers.values()))
            for name, cell in self.missing.items()
            if f"gpu{number}_{name}" not in columns
        ]
        facts = {f"gpu{numbers[gpu]}": found for gpu, found in self.facts.items()}
        return Telemetry(
            np.array(times, np.int64)[order],
            {name: values[order] for name, values in columns.items()},
            tuple(said),
            facts,
            self.source,
        )

    def take(self, where: str, column: Column, cell: str, gpu: str, values: dict[str, float]) -> None:
        """Take one cell in. Raises InputError, with `where`, for one that is no value of its column."""
        if column.kind == "fact":
            self.facts.setdefault(gpu, {})[column.name] = cell
        elif not cell or MISSING.fullmatch(cell):
            self.missing.setdefault(column.name, cell)
        else:
            value = _value(where, column, cell)
            if column.kind == "fact_number":
                self.facts.setdefault(gpu, {})[column.name] = value
            else:
                values[column.name] = value


def _numbers(gpus: Sequence[str]) -> dict[str, int]:
    """Number the GPUs: as the log does where it does, else in the order in which they appear."""
    found = list(dict.fromkeys(gpus))
    if all(gpu.isdecimal() and len(gpu) < 6 for gpu in found):
        return {gpu: int(gpu) for gpu in found}
    return {gpu: place for place, gpu in enumerate(found)}


def _value(where: str, column: Column, cell: str) -> float:
    if column.kind == "hex" and cell.lower().startswith("0x"):
        try:
            return float(int(cell, 16))
        except ValueError:
            raise InputError(f"{where}: {cell!r} is no value of {column.title!r}") from None
    match = VALUE.fullmatch(cell[1:] if column.name == "performance_state" and cell[:1] in "Pp" else cell)
    if match is None:
        raise InputError(f"{where}: {cell!r} is no value of {column.title!r}")
    unit = match[2] or column.unit
    scale = smi_names.scale(column.name, unit)
    if scale is None:
        raise InputError(f"{where}: {column.title!r} in {unit!r} is no unit that it is known in")
    return float(match[1]) * scale


def _read_query(path: Path, lines: list[tuple[int, str]], names: str, *, whole: bool) -> Telemetry:
    log = _Log("nvidia-smi --query-gpu")
    rows = list(_split(path, lines, whole=whole))
    first = rows[0][1]
    if names:
        columns = [smi_names.column(name) for name in names.split(",")]
    elif smi_names.is_header(first):
        columns = [smi_names.column(name) for name in first]
    else:
        columns, assumed = smi_names.guess([cells for _, cells in rows])
        log.assumed += assumed
    if not any(column.kind in {"value", "hex"} for column in columns):
        raise InputError(
            f"{path}:{rows[0][0]}: no column of nvidia-smi is known in {', '.join(first)[:80]!r}; "
            "this reads telemetry of gpuprobe, nvidia-smi --query-gpu CSV, and nvidia-smi dmon"
        )
    unknown = [column.title for column in columns if column.kind == "unknown"]
    if unknown:
        log.assumed.append(f"not used, because not known: {', '.join(unknown)}")
    for place, (number, cells) in enumerate(rows):
        if smi_names.is_header(cells):
            continue
        where = f"{path}:{number}"
        if len(cells) != len(columns):
            if place == len(rows) - 1 and not whole:
                log.assumed.append(f"the last line ({number}) is cut off and left out")
                continue
            raise InputError(f"{where}: has {len(cells)} cells where {len(columns)} are expected")
        _take_row(log, where, columns, cells)
    return log.finished()


def _split(path: Path, lines: list[tuple[int, str]], *, whole: bool) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        try:
            yield number, [cell.strip() for cell in next(csv.reader([line.replace("\0", "")], skipinitialspace=True))]
        except (csv.Error, StopIteration) as error:
            if number == lines[-1][0] and not whole:
                return
            raise InputError(f"{path}:{number}: is no line of CSV ({error})") from error


def _take_row(log: _Log, where: str, columns: Sequence[Column], cells: Sequence[str]) -> None:
    by_kind = {column.kind: cell for column, cell in zip(columns, cells, strict=True)}
    gpu = by_kind.get("index") or by_kind.get("identity") or "0"
    t_ns = _time(where, by_kind["time"]) if "time" in by_kind else None
    values: dict[str, float] = {}
    for column, cell in zip(columns, cells, strict=True):
        if column.kind in {"value", "hex", "fact", "fact_number"}:
            log.take(where, column, cell, gpu, values)
        elif column.kind == "identity":
            log.facts.setdefault(gpu, {})[column.name] = cell
    log.rows.append((t_ns, gpu, values))


def _time(where: str, cell: str) -> int:
    """Return a time stamp in nanoseconds; one without a zone is taken as UTC."""
    for form in TIME_FORMATS:
        try:
            found = datetime.strptime(cell, form).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
        whole = found.replace(microsecond=0)
        return int(whole.timestamp()) * 1_000_000_000 + found.microsecond * 1000
    try:
        seconds = float(cell)
    except ValueError:
        raise InputError(f"{where}: {cell!r} is no time stamp") from None
    if not 0 <= seconds < 9e9:
        raise InputError(f"{where}: {cell!r} is no time stamp")
    return int(seconds * 1e9)


def _read_dmon(path: Path, lines: list[tuple[int, str]], *, whole: bool) -> Telemetry:
    """Read rows under a line of names and a line of units, both of which begin with # and repeat."""
    log = _Log("nvidia-smi dmon")
    names: list[str] = []
    columns: list[Column] = []
    for place, (number, line) in enumerate(lines):
        where = f"{path}:{number}"
        cells = line.lstrip("#").replace(",", " ").split()
        if line.startswith("#"):
            if smi_names.is_dmon_names(cells):
                names = cells
                columns = [smi_names.dmon_column(name) for name in names]
            continue
        if not columns:
            raise InputError(f"{where}: a row before the line that names its columns (# gpu pwr ...)")
        if len(cells) != len(columns):
            if place == len(lines) - 1 and not whole:
                log.assumed.append(f"the last line ({number}) is cut off and left out")
                continue
            raise InputError(f"{where}: has {len(cells)} cells where {len(columns)} are expected")
        _take_dmon_row(log, where, columns, cells)
    if not log.rows:
        raise InputError(f"{path}: holds no row of nvidia-smi dmon")
    return log.finished()


def _take_dmon_row(log: _Log, where: str, columns: Sequence[Column], cells: Iterable[str]) -> None:
    row = dict(zip((column.title for column in columns), cells, strict=True))
    by_kind = {column.kind: row[column.title] for column in columns}
    t_ns = None
    if "clock" in by_kind:
        t_ns = _time(where, f"{by_kind.get('date', '19700101')} {by_kind['clock']}")
    values: dict[str, float] = {}
    gpu = by_kind.get("index", "0")
    for column in columns:
        if column.kind == "value":
            log.take(where, column, row[column.title], gpu, values)
    log.rows.append((t_ns, gpu, values))
