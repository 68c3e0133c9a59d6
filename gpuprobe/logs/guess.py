"""Guesses the columns of a log without a header by the shapes, units and values of their cells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.logs.headings import Column, column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NUMBER = re.compile(r"[-+]?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
CELLS: tuple[tuple[str, str], ...] = (
    (r"\d{4}[/-]\d\d[/-]\d\d[ T]\d\d:\d\d:\d\d.*", "timestamp"),
    (r"GPU-[0-9a-f-]+", "uuid"),
    (r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d", "pci.bus_id"),
    (r"P\d{1,2}", "pstate"),
    (r"0x[0-9a-fA-F]{16}", "clocks_event_reasons.active"),
    (r".*(NVIDIA|GeForce|Tesla|Quadro|RTX|GTX).*", "name"),
)
# The columns with each unit, in the order of nvidia-smi's own examples.
BY_UNIT = {
    "%": ("utilization.gpu", "utilization.memory"),
    "W": ("power.draw", "power.limit"),
    "MHz": ("clocks.sm", "clocks.mem"),
}
BY_MEMORY = {1: ("memory.used",), 2: ("memory.total", "memory.used"), 3: ("memory.total", "memory.used", "memory.free")}


# How many rows are examined for columns without a unit; constant columns are not guessed.
FEWEST_ROWS = 10
# Seconds since 1970 of the years 2001 to 2096; milliseconds, microseconds and nanoseconds are so much more.
EPOCH_S, EPOCH_SCALES = (1e9, 4e9), (1.0, 1e3, 1e6, 1e9)
# A larger number can only be memory in MiB: it is above any clock in MHz and any power in W.
MEMORY_ABOVE = 5000.0
# The range of temperatures in degrees, and by how much one usually changes between two readings of a card at most.
TEMPERATURE_C, TEMPERATURE_STEP_C = (15.0, 110.0), 2.0
MOST_GPUS = 64


def guess(rows: Sequence[Sequence[str]]) -> tuple[list[Column], list[str]]:
    """Return the columns of a log without a header by their cells' shapes, units and values, and what was assumed."""
    width = len(rows[0])
    whole = [row for row in rows if len(row) == width] or [rows[0]]
    kinds_by_unit = _by_units(rows[0])
    by_value = _by_values(whole, kinds_by_unit)
    titles = [title or by_value.get(index, "") for index, title in enumerate(kinds_by_unit)]
    columns = [
        column(title) if title else Column("", "unknown", f"column {index}") for index, title in enumerate(titles, 1)
    ]
    taken = [f"column {index} is {title}" for index, title in enumerate(titles, 1) if title]
    by = "their values" if by_value else "their units"
    return columns, [f"the log has no header; by {by} {', '.join(taken)}"] if taken else []


def _by_units(cells: Sequence[str]) -> list[str]:
    """Return a title for each cell, by its shape or unit; empty where these do not suffice."""
    titles: list[str] = []
    seen: dict[str, int] = {}
    memory = [index for index, cell in enumerate(cells) if cell.endswith("MiB")]
    if len(memory) in {2, 3}:
        # The total memory is the largest amount, and constant.
        memory.sort(key=lambda index: -_leading(cells[index]))
        memory[1:] = sorted(memory[1:])
    by_memory = dict(zip(memory, BY_MEMORY.get(len(memory), ()), strict=False))
    for index, cell in enumerate(cells):
        title = next((title for pattern, title in CELLS if re.fullmatch(pattern, cell)), "")
        unit = cell.rpartition(" ")[2]
        if not title and unit in BY_UNIT:
            place_in_unit = seen[unit] = seen.get(unit, -1) + 1
            title = BY_UNIT[unit][place_in_unit] if place_in_unit < len(BY_UNIT[unit]) else ""
        titles.append(title or by_memory.get(index, ""))
    return titles


def _by_values(rows: Sequence[Sequence[str]], kinds_by_unit: Sequence[str]) -> dict[int, str]:
    """Return the titles of columns of plain numbers, by index, where their values have only one possible meaning."""
    indices = [column for column, title in enumerate(kinds_by_unit) if not title]
    bare = {column: [row[column] for row in rows] for column in indices}
    bare = {column: cells for column, cells in bare.items() if all(map(NUMBER.fullmatch, cells))}
    index = next((column for column, cells in bare.items() if _is_index(cells)), None)
    kinds = {} if index is None else {index: "index"}
    if len(rows) < FEWEST_ROWS:
        return kinds
    of_card = np.zeros(len(rows), np.int64) if index is None else np.array(bare[index], np.int64)
    by_card = np.argsort(of_card, kind="stable")
    # The tests for each title, and the order of rows for each: times grow over the rows of all cards.
    tests = {
        "timestamp": (_is_time, np.arange(len(rows))),
        "utilization.gpu": (_is_share, by_card),
        "memory.used": (_is_memory, by_card),
        "temperature.gpu": (_is_temperature, by_card),
    }
    values = {column: np.array(cells, np.float64) for column, cells in bare.items() if column != index}
    for title, (is_it, order) in tests.items():
        column = next(
            (column for column in values if title not in kinds_by_unit and is_it(values[column][order])), None
        )
        if column is not None:
            kinds[column] = title
            del values[column]
    return kinds


def _is_time(values: NDArray[np.float64]) -> bool:
    low, high = float(values.min()), float(values.max())
    rising = np.diff(values) >= 0
    return any(EPOCH_S[0] * scale <= low and high <= EPOCH_S[1] * scale for scale in EPOCH_SCALES) and bool(
        rising.mean() > 0.5
    )


def _is_share(values: NDArray[np.float64]) -> bool:
    """Whether these are varying percentages: within 0 and 100, and no temperature."""
    within = values.min() >= 0 and 1 < values.max() <= 100 and values.min() < values.max()
    return bool(within) and not _is_temperature(values)


def _is_memory(values: NDArray[np.float64]) -> bool:
    return bool(values.min() >= 0 and values.max() > MEMORY_ABOVE and (values == values.round()).all())


def _is_temperature(values: NDArray[np.float64]) -> bool:
    within = values.min() >= TEMPERATURE_C[0] and values.max() <= TEMPERATURE_C[1]
    return bool(
        within and np.median(np.abs(np.diff(values))) <= TEMPERATURE_STEP_C and (values == values.round()).all()
    )


def _leading(cell: str) -> float:
    match = re.match(r"\d+", cell)
    return float(match[0]) if match else 0.0


def _is_index(cells: Sequence[str]) -> bool:
    """Whether a column counts 0, 1, ..., 0, 1, ... as the rows of several GPUs do, but for a row that is missing.

    In any other order, as where the logs of several GPUs follow each other, each number comes equally often.
    """
    if not all(cell.isdecimal() and len(cell) < 4 for cell in cells):
        return False
    numbers = np.array(cells, np.int64)
    count = int(numbers.max()) + 1
    follows = np.append(numbers[:1] == 0, numbers[1:] == (numbers[:-1] + 1) % count)
    often = np.bincount(numbers)
    equally = len(cells) >= FEWEST_ROWS * count and often.min() >= 0.95 * often.max()
    return 2 <= count <= min(len(cells), MOST_GPUS) and bool(follows.mean() >= 0.95 or equally)
