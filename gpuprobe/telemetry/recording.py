"""Reads a recording into columns; the layout of the file is described in `writer`."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.foreign import visible
from gpuprobe.telemetry import clock
from gpuprobe.telemetry.states import Notice, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.telemetry.facts import Fact

FACTS_LINE = re.compile(r"# (\w+) (\{.*\})$")
# The largest value that is read: sums of larger ones might overflow.
LARGEST_VALUE = 1e18
GPU_COLUMN = re.compile(r"gpu(\d{1,5})_", re.ASCII)


@dataclass(frozen=True)
class Telemetry:
    """A recording as columns: `t_ns` (n,) int64 that never falls, each of `columns` (n,) float64, NaN where not read.

    `facts` holds constant facts of `host`, `driver`, `gpu0`, ...; `states` the notices, sorted by time. `source` names
    the program that wrote the log.
    """

    t_ns: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    states: tuple[Notice, ...] = ()
    facts: Mapping[str, Mapping[str, Fact]] = field(default_factory=dict)
    source: str = "NVML"

    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the sampled GPUs, in the driver's order."""
        column_names = (*self.columns, *(f"{device}_" for device in self.facts))
        gpu_numbers = {match[1] for column in column_names if (match := GPU_COLUMN.match(column))}
        return tuple(sorted(map(int, gpu_numbers)))

    @property
    def said(self) -> tuple[tuple[int, str], ...]:
        """The notices, each with its time."""
        return tuple((notice.t_ns, str(notice)) for notice in self.states)

    def series(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the times (n,) and values (n,) of a column's readings; both empty where it was never read."""
        values = self.columns.get(column, np.full(len(self.t_ns), np.nan))
        is_read = ~np.isnan(values)
        return self.t_ns[is_read], values[is_read]

    def why_missing(self, column: str) -> str | None:
        """Return why a column such as `gpu0_power_w`, or its whole GPU or driver, was not read; None where it was."""
        device, _, field_name = column.partition("_")
        notice_places = [f"{device}.{field_name}", device, "driver"] if GPU_COLUMN.match(column) else [f"host.{column}"]
        for notice_place in notice_places:
            for notice in self.states:
                if notice.where == notice_place and notice.state not in {"back", "other_process"}:
                    return notice.words
        return None


def read(path: Path) -> Telemetry:
    """Read a recording, without a last line that is incomplete. Raises InputError where it is no recording."""
    try:
        recording_text = path.read_bytes().decode(errors="replace").replace("\0", "").replace("\r\n", "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as telemetry ({error.strerror})") from error
    lines = visible(recording_text).split("\n")
    if not lines[0].startswith("t_ns,"):
        raise InputError(f"{path}: not a telemetry recording of gpuprobe (its first column is not t_ns)")
    return _Reader().read(lines[:-1])


class _Reader:
    """A recording while it is read: rows belong to the header before them."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Fact]] = {}
        self._times: list[int] = []
        self._said: list[Notice] = []
        self._columns: dict[str, tuple[list[int], list[float]]] = {}

    def read(self, lines: Iterable[str]) -> Telemetry:
        column_names: list[str] = []
        said_at = 1
        for line in lines:
            if line.startswith("# "):
                self._take_facts(line)
                continue
            cells = _cells(line)
            if cells[0] == "t_ns":
                column_names = cells
                said_at = column_names.index("said") if "said" in column_names else 0
            elif len(cells) <= len(column_names) and _is_time(cells[0]):
                self._take(int(cells[0]), cells, column_names, said_at)
        return self._finished()

    def _take_facts(self, line: str) -> None:
        facts_line = FACTS_LINE.match(line.rstrip("\r"))
        try:
            facts = json.loads(facts_line[2]) if facts_line else None
        except ValueError:
            return
        if facts_line and isinstance(facts, dict):
            self._facts[facts_line[1]] = {
                visible(str(name)): visible(value) if isinstance(value, str) else value
                for name, value in facts.items()
                if isinstance(value, str | float | int | bool)
            }

    def _take(self, t_ns: int, cells: list[str], column_names: list[str], said_at: int) -> None:
        row_index = len(self._times)
        self._times.append(t_ns)
        for index, cell in enumerate(cells):
            if not cell or not index:
                continue
            if index == said_at:
                self._said += parse(t_ns, cell)
                continue
            try:
                value = float(cell)
            except ValueError:
                continue
            if not abs(value) <= LARGEST_VALUE:
                continue
            row_indices, values = self._columns.setdefault(column_names[index], ([], []))
            row_indices.append(row_index)
            values.append(value)

    def _finished(self) -> Telemetry:
        times_ns, clock_corrections = clock.correct_times(np.array(self._times, np.int64))
        start_ns = int(times_ns.min(initial=clock.LATEST_NS))
        self._said += [Notice(start_ns, "log", "assumed", correction) for correction in clock_corrections]
        order = np.argsort(times_ns, kind="stable")
        columns = {}
        for column_name, (row_indices, values) in self._columns.items():
            column = np.full(len(times_ns), np.nan)
            column[row_indices] = values
            columns[column_name] = column[order]
        notices = tuple(sorted(self._said, key=lambda notice: notice.t_ns))
        return Telemetry(times_ns[order], columns, notices, self._facts)


def _is_time(cell: str) -> bool:
    return cell.isascii() and cell.isdigit() and len(cell) <= 19 and int(cell) < clock.LATEST_NS


def _cells(line: str) -> list[str]:
    """Split a line into cells; only quoted cells need the csv module, which is much slower."""
    line = line.rstrip("\r")
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line]), [""])
    except csv.Error:
        return [""]
