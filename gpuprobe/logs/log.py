"""A log while it is read: cells by GPU and time, the assumptions made, and the driver's messages in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.logs import headings
from gpuprobe.logs.refused import message
from gpuprobe.telemetry import clock
from gpuprobe.telemetry.matching import same_bus
from gpuprobe.telemetry.recording import MOST, Telemetry
from gpuprobe.telemetry.states import GPU_GONE, STATES, Said
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.logs.headings import Column
    from gpuprobe.telemetry.facts import Fact

# The default interval of both programs.
ASSUMED_INTERVAL_NS = 1_000_000_000
# No value: `-`, `N/A`, `ERR!`, and everything in brackets: [Not Supported], [GPU is lost], ...
MISSING = re.compile(r"-|n/a|\[.*\]?|not supported|err!?", re.IGNORECASE)
# Spreadsheets in many languages write a decimal comma.
VALUE = re.compile(r"([-+]?\d+(?:[.,]\d*)?(?:[eE][-+]?\d+)?)\s*([a-zA-Z%/]*)")
# A mask of 64 bits.
HEX = re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE)
TIME = re.compile(
    r"(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)[T ]+(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|UTC|([-+])(\d\d):?(\d\d))?"
)
MOST_GPUS = 64
CLOCK = re.compile(r"\d\d:\d\d:\d\d(?:[.,]\d+)?")
DAY_NS = 86_400_000_000_000
# The format of `date`.
DATE = "%a %b %d %H:%M:%S %Y"
# Seconds, milliseconds, microseconds or nanoseconds since 1970, by the number's size; valid until the year 2255.
EPOCHS = ((9e9, 1e9), (9e12, 1e6), (9e15, 1e3), (9e18, 1.0))


@dataclass
class Log:
    """Rows by time and GPU; `finished` turns them into columns."""

    source: str
    path: Path
    rows: list[tuple[int | None, str, dict[str, float]]] = field(default_factory=list)
    facts: dict[str, dict[str, Fact]] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    _noted: list[tuple[int, str, str, str]] = field(default_factory=list)
    _gone: set[str] = field(default_factory=set)
    _gpus: set[str] = field(default_factory=set)
    _midnights_ns: int = 0

    def add(self, t_ns: int | None, gpu: str, values: dict[str, float]) -> None:
        """Add the row of the cells taken since the last one."""
        self.rows.append((t_ns, gpu, values))
        self._gpus.add(gpu)

    def finished(self) -> Telemetry:
        """Number the GPUs, give times to rows without one, and return all as columns."""
        numbers = _numbers([gpu for _, gpu, _ in self.rows])
        if len(numbers) > MOST_GPUS:
            raise InputError(
                f"{self.path}: names {len(numbers):,} GPUs, more than a machine has: its columns are mixed up"
            )
        if any(t_ns is None for t_ns, _, _ in self.rows):
            self.assumed.append("the log holds no time stamps: one row a second for each GPU is assumed")
        times = self._times()
        columns = self._columns(numbers)
        order = np.argsort(times, kind="stable")
        return Telemetry(
            times[order],
            {name: values[order] for name, values in columns.items()},
            tuple(self._said(times.tolist(), numbers, set(columns))),
            {f"gpu{numbers[gpu]}": facts for gpu, facts in self.facts.items() if gpu in numbers},
            self.source,
        )

    def _times(self) -> NDArray[np.int64]:
        """Return the times of all rows, corrected for each GPU (`telemetry.clock`), or counted where there are none."""
        indices: dict[str, list[int]] = {}
        for index, (_, gpu, _) in enumerate(self.rows):
            indices.setdefault(gpu, []).append(index)
        times = np.empty(len(self.rows), np.int64)
        for own in indices.values():
            stamps = [self.rows[index][0] for index in own]
            counted = [count * ASSUMED_INTERVAL_NS if t_ns is None else t_ns for count, t_ns in enumerate(stamps)]
            times[own], mended = clock.straighten(np.array(counted, np.int64))
            self.assumed += [words for words in mended if words not in self.assumed]
        return times

    def _columns(self, numbers: dict[str, int]) -> dict[str, NDArray[np.float64]]:
        columns: dict[str, NDArray[np.float64]] = {}
        for index, (_, gpu, values) in enumerate(self.rows):
            for name, value in values.items():
                title = f"gpu{numbers[gpu]}_{name}"
                if title not in columns:
                    columns[title] = np.full(len(self.rows), np.nan)
                columns[title][index] = value
        return columns

    def take(self, where: str, column: Column, cell: str, gpu: str, values: dict[str, float]) -> None:
        """Add one cell to the current row. Raises InputError, with `where`, for one that is no value of its column."""
        if column.kind == "fact":
            self.facts.setdefault(gpu, {})[column.name] = cell
        elif not cell or MISSING.fullmatch(cell):
            self.missing.setdefault(column.name, cell)
            driver_message = message(cell)
            if driver_message and driver_message[0] in GPU_GONE:
                self.note(driver_message[0], gpu)
        elif column.kind == "reason":
            active = headings.REASONS[column.name] if cell.lower() == "active" else 0
            values["throttle_reasons"] = float(int(values.get("throttle_reasons", 0)) | active)
        else:
            number = value(where, column, cell)
            if column.kind == "fact_number":
                self.facts.setdefault(gpu, {})[column.name] = number
            else:
                values[column.name] = number
                if gpu in self._gone:
                    self._gone.discard(gpu)
                    self._noted.append((len(self.rows), gpu, "back", "the GPU answers again"))

    def time_ns(self, where: str, cell: str) -> int:
        """Return a time stamp in nanoseconds; a time of day without a date is in 1970, and continues after midnight."""
        if not CLOCK.fullmatch(cell):
            return time_ns(where, cell)
        found = self._midnights_ns + time_ns(where, f"1970-01-01 {cell}")
        before = self.rows[-1][0] if self.rows else None
        if before is not None and before - found > DAY_NS / 2:
            self._midnights_ns += DAY_NS
            found += DAY_NS
        return found

    def note(self, state: str, gpu: str = "", bus: str = "") -> None:
        """Add a notice of the driver's message, once for each GPU until it is back; `bus` is its PCI bus id."""
        known = self._gpus
        by_bus = (one for one in known if bus and same_bus(str(self.facts.get(one, {}).get("pci_bus_id", "")), bus))
        of_gpu = gpu or next(by_bus, next(iter(known)) if len(known) == 1 else "")
        if of_gpu not in self._gone:
            self._gone.add(of_gpu)
            self._noted.append((len(self.rows), of_gpu, state, STATES[state]))

    def _said(self, times: Sequence[int], numbers: dict[str, int], read: set[str]) -> list[Said]:
        start = min(times, default=0)
        notices = [Said(start, "log", "assumed", words) for words in self.assumed]
        notices += [
            Said(start, f"gpu{number}.{name}", "not_supported", f"{self.source.split()[0]} wrote {cell!r}")
            for number in sorted(set(numbers.values()))
            for name, cell in self.missing.items()
            if f"gpu{number}_{name}" not in read
        ]
        for index, gpu, state, words in self._noted:
            where = f"gpu{numbers[gpu]}" if gpu in numbers else "driver"
            notices.append(Said(times[min(index, len(times) - 1)] if times else 0, where, state, words))
        return sorted(notices, key=lambda notice: notice.t_ns)


def _numbers(gpus: Sequence[str]) -> dict[str, int]:
    """Number the GPUs as the log does, else in order of appearance."""
    indices = list(dict.fromkeys(gpus))
    if all(gpu.isdecimal() and len(gpu) < 6 for gpu in indices):
        return {gpu: int(gpu) for gpu in indices}
    return {gpu: index for index, gpu in enumerate(indices)}


def value(where: str, column: Column, cell: str) -> float:
    """Return the number in a cell, in the unit of its column's name. Raises InputError with `where`."""
    number = float(int(cell, 16)) if column.kind == "hex" and HEX.fullmatch(cell) else _number(where, column, cell)
    if not abs(number) <= MOST:
        raise InputError(f"{where}: {cell[:80]!r} is no value of {column.title!r}")
    return number


def _number(where: str, column: Column, cell: str) -> float:
    match = VALUE.fullmatch(cell[1:] if column.name == "performance_state" and cell[:1] in "Pp" else cell)
    if match is None:
        raise InputError(f"{where}: {cell[:80]!r} is no value of {column.title!r}")
    unit = match[2] or column.unit
    scale = headings.scale(column.name, unit)
    if scale is None:
        raise InputError(f"{where}: {column.title!r} in {unit[:80]!r} is not a unit that is known for it")
    return float(match[1].replace(",", ".")) * scale


def time_ns(where: str, cell: str) -> int:
    """Return a time stamp in nanoseconds; one without a zone is taken as UTC. Raises InputError with `where`."""
    try:
        found = _stamp_ns(cell)
    except (ValueError, OverflowError):
        found = None
    if found is None or not 0 <= found < clock.LATEST_NS:
        raise InputError(f"{where}: {cell[:80]!r} is no time stamp")
    return found


def _stamp_ns(cell: str) -> int | None:
    match = TIME.fullmatch(cell)
    if match:
        stamp = datetime(*map(int, match.groups()[:6]), tzinfo=timezone.utc)  # type: ignore[arg-type, misc]
        if match[9]:
            ahead = timedelta(hours=int(match[10]), minutes=int(match[11]))
            stamp -= ahead if match[9] == "+" else -ahead
        return int(stamp.timestamp()) * NS_PER_S + int((match[7] or "0").ljust(9, "0"))
    if cell[:1].isalpha() and cell[:1].isupper():
        return int(datetime.strptime(cell, DATE).replace(tzinfo=timezone.utc).timestamp()) * NS_PER_S
    number = float(cell.replace(",", "."))
    return next((int(number * scale) for most, scale in EPOCHS if 0 <= number < most), None)
