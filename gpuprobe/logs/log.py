"""A log while it is read: cells by GPU and time, the assumptions made, and the driver's messages in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.logs.cells import number_in_cell, time_ns
from gpuprobe.logs.refused import message
from gpuprobe.logs.titles import REASONS
from gpuprobe.telemetry import clock
from gpuprobe.telemetry.matching import same_bus
from gpuprobe.telemetry.recording import Telemetry
from gpuprobe.telemetry.states import GPU_GONE, STATES, Notice

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
MOST_GPUS = 64
CLOCK = re.compile(r"\d\d:\d\d:\d\d(?:[.,]\d+)?")
DAY_NS = 86_400_000_000_000


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
        """Add a row: its time (None where the log has no times), its GPU and its values by field."""
        self.rows.append((t_ns, gpu, values))
        self._gpus.add(gpu)

    def finished(self) -> Telemetry:
        """Number the GPUs, give times to rows without one, and return all as columns."""
        gpu_numbers = _gpu_numbers([gpu for _, gpu, _ in self.rows])
        if len(gpu_numbers) > MOST_GPUS:
            raise InputError(
                f"{self.path}: names {len(gpu_numbers):,} GPUs, more than a machine has: its columns are mixed up"
            )
        if any(t_ns is None for t_ns, _, _ in self.rows):
            self.assumed.append("the log holds no time stamps: one row a second for each GPU is assumed")
        times_ns = self._times()
        columns = self._columns(gpu_numbers)
        order = np.argsort(times_ns, kind="stable")
        return Telemetry(
            times_ns[order],
            {name: column_values[order] for name, column_values in columns.items()},
            tuple(self._said(times_ns.tolist(), gpu_numbers, set(columns))),
            {f"gpu{gpu_numbers[gpu]}": facts for gpu, facts in self.facts.items() if gpu in gpu_numbers},
            self.source,
        )

    def _times(self) -> NDArray[np.int64]:
        """Return the times of all rows, corrected for each GPU (`telemetry.clock`), or counted where there are none."""
        rows_by_gpu: dict[str, list[int]] = {}
        for index, (_, gpu, _) in enumerate(self.rows):
            rows_by_gpu.setdefault(gpu, []).append(index)
        times_ns = np.empty(len(self.rows), np.int64)
        for rows_of_gpu in rows_by_gpu.values():
            stamps = [self.rows[index][0] for index in rows_of_gpu]
            row_times_ns = [count * ASSUMED_INTERVAL_NS if t_ns is None else t_ns for count, t_ns in enumerate(stamps)]
            times_ns[rows_of_gpu], clock_corrections = clock.correct_times(np.array(row_times_ns, np.int64))
            self.assumed += [correction for correction in clock_corrections if correction not in self.assumed]
        return times_ns

    def _columns(self, gpu_numbers: dict[str, int]) -> dict[str, NDArray[np.float64]]:
        columns: dict[str, NDArray[np.float64]] = {}
        for index, (_, gpu, row_values) in enumerate(self.rows):
            for name, cell_value in row_values.items():
                title = f"gpu{gpu_numbers[gpu]}_{name}"
                if title not in columns:
                    columns[title] = np.full(len(self.rows), np.nan)
                columns[title][index] = cell_value
        return columns

    def take(self, file_and_line: str, column: Column, cell: str, gpu: str, row_values: dict[str, float]) -> None:
        """Add one cell to `row_values` or to the facts.

        Raises InputError, with `file_and_line`, where the cell does not fit its column.
        """
        if column.kind == "fact":
            self.facts.setdefault(gpu, {})[column.name] = cell
        elif not cell or MISSING.fullmatch(cell):
            self.missing.setdefault(column.name, cell)
            driver_message = message(cell)
            if driver_message and driver_message[0] in GPU_GONE:
                self.note(driver_message[0], gpu)
        elif column.kind == "reason":
            active = REASONS[column.name] if cell.lower() == "active" else 0
            row_values["throttle_reasons"] = float(int(row_values.get("throttle_reasons", 0)) | active)
        else:
            number = number_in_cell(file_and_line, column, cell)
            if column.kind == "fact_number":
                self.facts.setdefault(gpu, {})[column.name] = number
            else:
                row_values[column.name] = number
                if gpu in self._gone:
                    self._gone.discard(gpu)
                    self._noted.append((len(self.rows), gpu, "back", "the GPU answers again"))

    def time_ns(self, file_and_line: str, cell: str) -> int:
        """Return a time stamp in ns since 1970; a time of day without a date counts from 1970-01-01, past midnight."""
        if not CLOCK.fullmatch(cell):
            return time_ns(file_and_line, cell)
        stamp_ns = self._midnights_ns + time_ns(file_and_line, f"1970-01-01 {cell}")
        previous_ns = self.rows[-1][0] if self.rows else None
        if previous_ns is not None and previous_ns - stamp_ns > DAY_NS / 2:
            self._midnights_ns += DAY_NS
            stamp_ns += DAY_NS
        return stamp_ns

    def note(self, state: str, gpu: str = "", bus: str = "") -> None:
        """Add a notice of the driver's message, once for each GPU until it is back; `bus` is its PCI bus id."""
        known_gpus = self._gpus
        gpus_at_bus = (
            known_gpu
            for known_gpu in known_gpus
            if bus and same_bus(str(self.facts.get(known_gpu, {}).get("pci_bus_id", "")), bus)
        )
        noted_gpu = gpu or next(gpus_at_bus, next(iter(known_gpus)) if len(known_gpus) == 1 else "")
        if noted_gpu not in self._gone:
            self._gone.add(noted_gpu)
            self._noted.append((len(self.rows), noted_gpu, state, STATES[state]))

    def _said(self, times_ns: Sequence[int], gpu_numbers: dict[str, int], columns_read: set[str]) -> list[Notice]:
        first_ns = min(times_ns, default=0)
        notices = [Notice(first_ns, "log", "assumed", assumption) for assumption in self.assumed]
        notices += [
            Notice(first_ns, f"gpu{number}.{name}", "not_supported", f"{self.source.split()[0]} wrote {cell!r}")
            for number in sorted(set(gpu_numbers.values()))
            for name, cell in self.missing.items()
            if f"gpu{number}_{name}" not in columns_read
        ]
        for index, gpu, state, words in self._noted:
            device = f"gpu{gpu_numbers[gpu]}" if gpu in gpu_numbers else "driver"
            notices.append(Notice(times_ns[min(index, len(times_ns) - 1)] if times_ns else 0, device, state, words))
        return sorted(notices, key=lambda notice: notice.t_ns)


def _gpu_numbers(gpus: Sequence[str]) -> dict[str, int]:
    """Number the GPUs as the log does, else in order of appearance."""
    gpus_in_order = list(dict.fromkeys(gpus))
    if all(gpu.isdecimal() and len(gpu) < 6 for gpu in gpus_in_order):
        return {gpu: int(gpu) for gpu in gpus_in_order}
    return {gpu: index for index, gpu in enumerate(gpus_in_order)}
