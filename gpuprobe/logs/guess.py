"""Guesses the columns of a log without a header by the shapes, units and values of their cells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.logs.headings import Column, column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PLAIN_NUMBER = re.compile(r"[-+]?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
TITLES_BY_SHAPE: tuple[tuple[str, str], ...] = (
    (r"\d{4}[/-]\d\d[/-]\d\d[ T]\d\d:\d\d:\d\d.*", "timestamp"),
    (r"GPU-[0-9a-f-]+", "uuid"),
    (r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d", "pci.bus_id"),
    (r"P\d{1,2}", "pstate"),
    (r"0x[0-9a-fA-F]{16}", "clocks_event_reasons.active"),
    (r".*(NVIDIA|GeForce|Tesla|Quadro|RTX|GTX).*", "name"),
)
# The columns with each unit, in the order of nvidia-smi's own examples.
TITLES_BY_UNIT = {
    "%": ("utilization.gpu", "utilization.memory"),
    "W": ("power.draw", "power.limit"),
    "MHz": ("clocks.sm", "clocks.mem"),
}
TITLES_OF_MEMORY = {
    1: ("memory.used",),
    2: ("memory.total", "memory.used"),
    3: ("memory.total", "memory.used", "memory.free"),
}


# How many rows are examined for columns without a unit; constant columns are not guessed.
FEWEST_ROWS = 10
# Seconds since 1970 in the years 2001 to 2096, and the factors to seconds, milliseconds, microseconds and nanoseconds.
EPOCH_S, EPOCH_SCALES = (1e9, 4e9), (1.0, 1e3, 1e6, 1e9)
# A larger number can only be memory in MiB: it is above any clock in MHz and any power in W.
MEMORY_ABOVE = 5000.0
# The range of a card's temperature, and the most that it usually changes between two readings, both in deg C.
TEMPERATURE_C, TEMPERATURE_STEP_C = (15.0, 110.0), 2.0
MOST_GPUS = 64


def guess(rows: Sequence[Sequence[str]]) -> tuple[list[Column], list[str]]:
    """Return the columns of a log without a header by their cells' shapes, units and values, and what was assumed."""
    column_count = len(rows[0])
    complete_rows = [row for row in rows if len(row) == column_count] or [rows[0]]
    titles_by_unit = _by_units(rows[0])
    titles_by_value = _by_values(complete_rows, titles_by_unit)
    titles = [title or titles_by_value.get(index, "") for index, title in enumerate(titles_by_unit)]
    columns = [
        column(title) if title else Column("", "unknown", f"column {index}") for index, title in enumerate(titles, 1)
    ]
    guessed_titles = [f"column {index} is {title}" for index, title in enumerate(titles, 1) if title]
    guessed_by = "their values" if titles_by_value else "their units"
    return columns, [f"the log has no header; by {guessed_by} {', '.join(guessed_titles)}"] if guessed_titles else []


def _by_units(cells: Sequence[str]) -> list[str]:
    """Return a title for each cell, by its shape or unit; empty where these do not suffice."""
    titles: list[str] = []
    columns_with_unit: dict[str, int] = {}
    memory_columns = [index for index, cell in enumerate(cells) if cell.endswith("MiB")]
    if len(memory_columns) in {2, 3}:
        # The total memory is the largest amount, and constant.
        memory_columns.sort(key=lambda index: -_leading(cells[index]))
        memory_columns[1:] = sorted(memory_columns[1:])
    memory_titles = dict(zip(memory_columns, TITLES_OF_MEMORY.get(len(memory_columns), ()), strict=False))
    for index, cell in enumerate(cells):
        title = next((title for pattern, title in TITLES_BY_SHAPE if re.fullmatch(pattern, cell)), "")
        unit = cell.rpartition(" ")[2]
        if not title and unit in TITLES_BY_UNIT:
            place_in_unit = columns_with_unit[unit] = columns_with_unit.get(unit, -1) + 1
            title = TITLES_BY_UNIT[unit][place_in_unit] if place_in_unit < len(TITLES_BY_UNIT[unit]) else ""
        titles.append(title or memory_titles.get(index, ""))
    return titles


def _by_values(rows: Sequence[Sequence[str]], titles_by_unit: Sequence[str]) -> dict[int, str]:
    """Return the titles of columns of plain numbers, by index, where their values have only one possible meaning."""
    indices = [column_index for column_index, title in enumerate(titles_by_unit) if not title]
    number_columns = {column_index: [row[column_index] for row in rows] for column_index in indices}
    number_columns = {
        column_index: cells for column_index, cells in number_columns.items() if all(map(PLAIN_NUMBER.fullmatch, cells))
    }
    index_column = next((column_index for column_index, cells in number_columns.items() if _is_index(cells)), None)
    titles = {} if index_column is None else {index_column: "index"}
    if len(rows) < FEWEST_ROWS:
        return titles
    card_of_row = (
        np.zeros(len(rows), np.int64) if index_column is None else np.array(number_columns[index_column], np.int64)
    )
    rows_by_card = np.argsort(card_of_row, kind="stable")
    # The tests for each title, and the order of rows for each: times grow over the rows of all cards.
    title_tests = {
        "timestamp": (_is_time, np.arange(len(rows))),
        "utilization.gpu": (_is_share, rows_by_card),
        "memory.used": (_is_memory, rows_by_card),
        "temperature.gpu": (_is_temperature, rows_by_card),
    }
    column_values = {
        column_index: np.array(cells, np.float64)
        for column_index, cells in number_columns.items()
        if column_index != index_column
    }
    for title, (fits_title, order) in title_tests.items():
        column_index = next(
            (
                column_index
                for column_index in column_values
                if title not in titles_by_unit and fits_title(column_values[column_index][order])
            ),
            None,
        )
        if column_index is not None:
            titles[column_index] = title
            del column_values[column_index]
    return titles


def _is_time(values: NDArray[np.float64]) -> bool:
    earliest, latest = float(values.min()), float(values.max())
    rising = np.diff(values) >= 0
    return any(EPOCH_S[0] * scale <= earliest and latest <= EPOCH_S[1] * scale for scale in EPOCH_SCALES) and bool(
        rising.mean() > 0.5
    )


def _is_share(values: NDArray[np.float64]) -> bool:
    """Whether these are varying percentages: within 0 and 100, and no temperature."""
    within_percent = values.min() >= 0 and 1 < values.max() <= 100 and values.min() < values.max()
    return bool(within_percent) and not _is_temperature(values)


def _is_memory(values: NDArray[np.float64]) -> bool:
    return bool(values.min() >= 0 and values.max() > MEMORY_ABOVE and (values == values.round()).all())


def _is_temperature(values: NDArray[np.float64]) -> bool:
    within_range = values.min() >= TEMPERATURE_C[0] and values.max() <= TEMPERATURE_C[1]
    return bool(
        within_range and np.median(np.abs(np.diff(values))) <= TEMPERATURE_STEP_C and (values == values.round()).all()
    )


def _leading(cell: str) -> float:
    match = re.match(r"\d+", cell)
    return float(match[0]) if match else 0.0


def _is_index(cells: Sequence[str]) -> bool:
    """Whether a column is the index of several GPUs: it counts 0, 1, ..., 0, 1, ..., except where a row is missing.

    Where the logs of several GPUs follow each other, the order differs, but each number occurs equally often.
    """
    if not all(cell.isdecimal() and len(cell) < 4 for cell in cells):
        return False
    gpu_indices = np.array(cells, np.int64)
    gpu_count = int(gpu_indices.max()) + 1
    follows_in_turn = np.append(gpu_indices[:1] == 0, gpu_indices[1:] == (gpu_indices[:-1] + 1) % gpu_count)
    index_counts = np.bincount(gpu_indices)
    equally_often = len(cells) >= FEWEST_ROWS * gpu_count and index_counts.min() >= 0.95 * index_counts.max()
    return 2 <= gpu_count <= min(len(cells), MOST_GPUS) and bool(follows_in_turn.mean() >= 0.95 or equally_often)
