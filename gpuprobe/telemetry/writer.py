"""Writes `telemetry.csv` row by row; it imports little, because the sampler must be cheap.

The first line names the columns: `t_ns` (nanoseconds since the Unix epoch, the clock of TensorFlow's traces), `said`
(see `states`), then the fields. A row may be shorter than that: what is missing at its end, like an empty cell, was not
read then. Rows are in the order of writing; the time of those from the driver's own buffer is earlier. A line that
begins with `# ` and a name holds facts as JSON. A later line that begins with `t_ns` replaces the names of the columns;
those of a single process are added at the end when it is first seen.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Writer:
    """Appends rows, each by one write, so that a killed sampler leaves at most one incomplete line. Thread-safe."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._torn = False
        self.name_columns(columns)

    def name_columns(self, columns: Sequence[str]) -> None:
        """Write a line that names the columns of the rows after it."""
        with self._lock:
            self._name_columns(columns)

    def row(self, t_ns: int, values: Mapping[str, float], notices: str) -> None:
        """Write one row; columns without a value stay empty, and new columns are added at the end."""
        with self._lock:
            if not values.keys() <= self._places.keys():
                self._name_columns(list(dict.fromkeys([*self._places, *values])))
            column_places = self._places
            cells = [""] * (1 + max(map(column_places.__getitem__, values), default=-1))
            for column, value in values.items():
                cells[column_places[column]] = str(value) if type(value) is int else f"{value:.10g}"
            said_cell = '"' + notices.replace('"', "'").replace("\n", " ") + '"' if notices else ""
            self._write(",".join([str(t_ns), said_cell, *cells]))

    def _name_columns(self, columns: Sequence[str]) -> None:
        self._places = {name: position for position, name in enumerate(columns)}
        self._write(",".join(["t_ns", "said", *columns]))

    def facts(self, where: str, facts: Mapping[str, object]) -> None:
        """Write the facts of `host`, `driver` or a GPU."""
        with self._lock:
            self._write(f"# {where} {json.dumps(facts)}")

    def close(self) -> None:
        """Close the file; nothing is buffered."""
        self._file.close()

    def _write(self, line: str) -> None:
        data = (("\n" if self._torn else "") + line + "\n").encode(errors="backslashreplace")
        try:
            # On a full disk rows are lost, but the sampler goes on; an incomplete line is ended before the next row.
            self._torn = os.write(self._file.fileno(), data) < len(data)
        except OSError:
            return
