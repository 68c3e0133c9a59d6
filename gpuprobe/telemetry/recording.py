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
from gpuprobe.telemetry.states import Said, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.telemetry.facts import Fact

FACTS = re.compile(r"# (\w+) (\{.*\})$")
# The largest value that is read: sums of larger ones might overflow.
MOST = 1e18
GPU_COLUMN = re.compile(r"gpu(\d{1,5})_", re.ASCII)


@dataclass(frozen=True)
class Telemetry:
    """A recording as columns: `t_ns` (n,) int64 that never falls, each of `columns` (n,) float64, NaN where not read.

    `facts` holds constant facts of `host`, `driver`, `gpu0`, ...; `states` the notices, sorted by time. `source` names
    the program that wrote the log.
    """

    t_ns: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    states: tuple[Said, ...] = ()
    facts: Mapping[str, Mapping[str, Fact]] = field(default_factory=dict)
    source: str = "NVML"

    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the sampled GPUs, in the driver's order."""
        names = (*self.columns, *(f"{where}_" for where in self.facts))
        numbers = {match[1] for name in names if (match := GPU_COLUMN.match(name))}
        return tuple(sorted(map(int, numbers)))

    @property
    def said(self) -> tuple[tuple[int, str], ...]:
        """The notices, each with its time."""
        return tuple((notice.t_ns, str(notice)) for notice in self.states)

    def series(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the times (n,) and values (n,) of a column's readings; both empty where it was never read."""
        values = self.columns.get(name, np.full(len(self.t_ns), np.nan))
        read = ~np.isnan(values)
        return self.t_ns[read], values[read]

    def why_missing(self, name: str) -> str | None:
        """Return the reason why a column such as `gpu0_power_w`, or its whole GPU or driver, was not read."""
        device, _, field_name = name.partition("_")
        places = [f"{device}.{field_name}", device, "driver"] if GPU_COLUMN.match(name) else [f"host.{name}"]
        for place in places:
            for notice in self.states:
                if notice.where == place and notice.state not in {"back", "other_process"}:
                    return notice.words
        return None


def read(path: Path) -> Telemetry:
    """Read a recording, without a last line that is incomplete. Raises InputError where it is no recording."""
    try:
        text = path.read_bytes().decode(errors="replace").replace("\0", "").replace("\r\n", "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as telemetry ({error.strerror})") from error
    lines = visible(text).split("\n")
    if not lines[0].startswith("t_ns,"):
        raise InputError(f"{path}: not a telemetry recording of gpuprobe (its first column is not t_ns)")
    return _Reader().read(lines[:-1])


class _Reader:
    """A recording while it is read: rows belong to the header before them."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Fact]] = {}
        self._times: list[int] = []
        self._said: list[Said] = []
        self._columns: dict[str, tuple[list[int], list[float]]] = {}

    def read(self, lines: Iterable[str]) -> Telemetry:
        names: list[str] = []
        said_at = 1
        for line in lines:
            if line.startswith("# "):
                self._take_facts(line)
                continue
            cells = _cells(line)
            if cells[0] == "t_ns":
                names = cells
                said_at = names.index("said") if "said" in names else 0
            elif len(cells) <= len(names) and _is_time(cells[0]):
                self._take(int(cells[0]), cells, names, said_at)
        return self._finished()

    def _take_facts(self, line: str) -> None:
        match = FACTS.match(line.rstrip("\r"))
        try:
            facts = json.loads(match[2]) if match else None
        except ValueError:
            return
        if match and isinstance(facts, dict):
            self._facts[match[1]] = {
                visible(str(name)): visible(value) if isinstance(value, str) else value
                for name, value in facts.items()
                if isinstance(value, str | float | int | bool)
            }

    def _take(self, t_ns: int, cells: list[str], names: list[str], said_at: int) -> None:
        place = len(self._times)
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
            if not abs(value) <= MOST:
                continue
            where, values = self._columns.setdefault(names[index], ([], []))
            where.append(place)
            values.append(value)

    def _finished(self) -> Telemetry:
        times, mended = clock.straighten(np.array(self._times, np.int64))
        start_ns = int(times.min(initial=clock.LATEST_NS))
        self._said += [Said(start_ns, "log", "assumed", words) for words in mended]
        order = np.argsort(times, kind="stable")
        columns = {}
        for name, (where, values) in self._columns.items():
            column = np.full(len(times), np.nan)
            column[where] = values
            columns[name] = column[order]
        notices = tuple(sorted(self._said, key=lambda notice: notice.t_ns))
        return Telemetry(times[order], columns, notices, self._facts)


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
