"""The columns of nvidia-smi and dcgmi by their headings: gpuprobe's name for each, and its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.logs.titles import (
    DCGM_PREFIX,
    DCGM_TITLES,
    DMON,
    QUERY,
    REASON,
    REASONS,
    SCALES,
    TITLE_AND_UNIT,
    TITLE_WITH_UNIT,
    WRITTEN_UNITS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.logs.titles import Kind


@dataclass(frozen=True)
class Column:
    """One column: gpuprobe's name for it, what it holds, its title in the log, and the unit in that title."""

    name: str
    kind: Kind
    title: str
    unit: str = ""


def column(title: str) -> Column:
    """Return the column of a title in a `--query-gpu` log; its kind is `unknown` where the title is not known."""
    match = TITLE_AND_UNIT.fullmatch(title.strip())
    assert match is not None
    bare_title, unit = match[1], (match[2] or "").lower().replace("�", "")
    name, kind = QUERY.get(_key(bare_title), ("", "unknown"))
    title_with_unit = TITLE_WITH_UNIT.fullmatch(bare_title)
    if kind == "unknown" and title_with_unit and not unit:
        name, kind = QUERY.get(_key(title_with_unit[1]), ("", "unknown"))
        unit = WRITTEN_UNITS.get(title_with_unit[2].lower(), title_with_unit[2].lower())
        bare_title = title_with_unit[1]
    # `gpu` is the title of the utilization if its unit is percent.
    if _key(bare_title) == "gpu" and unit == "%":
        name, kind = "utilization_percent", "value"
    if kind == "unknown":
        name, field_name = DCGM_TITLES.get(DCGM_PREFIX.sub("", _key(bare_title)), ("", ""))
        kind, unit = ("value", unit or field_name) if name else (kind, unit)
    reason = REASON.fullmatch(_key(bare_title))
    if kind == "unknown" and reason and reason[1] in REASONS:
        name, kind = reason[1], "reason"
    return Column(name, kind, title.strip(), unit)


def _key(title: str) -> str:
    return re.sub(r"[^a-z0-9]", "", title.lower())


def dmon_column(title: str) -> Column:
    """Return the column of a title in a log of `nvidia-smi dmon`."""
    name, kind = DMON.get(title.lower(), ("", "unknown"))
    return Column(name, kind, title)


def dcgm_column(title: str) -> Column:
    """Return the column of a title in a log of `dcgmi dmon`."""
    if title.lower() == "entity":
        return Column("", "index", title)
    name, unit = DCGM_TITLES.get(title.lower(), ("", ""))
    return Column(name, "value" if name else "unknown", title, unit)


def is_dcgm_names(cells: Sequence[str]) -> bool:
    """Whether a line that begins with # names columns of `dcgmi dmon`."""
    return bool(cells) and cells[0].lower() == "entity"


def is_dmon_names(cells: Sequence[str]) -> bool:
    """Whether a line that begins with # names columns, not their units."""
    return "gpu" in (cell.lower() for cell in cells)


def is_header(cells: Sequence[str]) -> bool:
    """Whether a line of a `--query-gpu` log names its columns: at least half of its cells are known titles.

    A number is no title, except the number of a DCGM field beside a title in words.
    """
    number_cells = [cell for cell in cells if re.fullmatch(r"[-+]?\d[\d.]*\s*\S*", cell)]
    known_titles = sum(column(cell).kind != "unknown" for cell in cells)
    return 2 * known_titles >= len(cells) > len(number_cells) and all(cell in DCGM_TITLES for cell in number_cells)


def scale(name: str, unit: str) -> float | None:
    """Return the factor from a log's unit to the unit in a field's name; None where the unit does not fit the field."""
    for name_ending, factor_by_unit in SCALES.items():
        if name.endswith(name_ending):
            return factor_by_unit.get(unit.lower())
    return 1.0 if not unit else None
