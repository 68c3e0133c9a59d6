"""`telemetry.csv`: one row a tick, as it happens, and back into columns.

The columns are `t_ns` (nanoseconds since the Unix epoch, the clock of TensorFlow's traces), the host's (see
`host.FIELDS`; `_s` and `_mib` of CPU, disk and network are counters that only grow), one `core<n>_busy_s` a core,
`gpu<n>_<field>` for each GPU (see `nvml.FIELDS`), and last `said`: what there was to say in words, such as a field
that a card does not offer or a GPU that was lost. An empty cell was not read in that tick.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe import wording
from gpuprobe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TAIL_BYTES = 8192


class Writer:
    """Appends rows, each with one write, so that a killed sampler leaves at most one torn line."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._columns = columns
        self._file = path.open("ab", buffering=0)
        self._file.write((",".join(["t_ns", *columns, "said"]) + "\n").encode())

    def row(self, t_ns: int, values: Mapping[str, float], said: str) -> None:
        """Write one row; a column without a value stays empty."""
        cells = [f"{values[name]:.10g}" if name in values else "" for name in self._columns]
        words = '"' + said.replace('"', "'") + '"' if said else ""
        self._file.write((",".join([str(t_ns), *cells, words]) + "\n").encode())


@dataclass(frozen=True)
class Telemetry:
    """A recording as columns: `t_ns` (n,) int64, each of `columns` (n,) float64 with NaN where nothing was read."""

    t_ns: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    said: tuple[tuple[int, str], ...]

    @property
    def gpus(self) -> tuple[int, ...]:
        """The numbers of the GPUs that were sampled."""
        found = {name.partition("_")[0][3:] for name in self.columns if name.startswith("gpu")}
        return tuple(sorted(int(number) for number in found))

    def series(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the times and values at which a column was read; both empty where it never was."""
        values = self.columns.get(name, np.full(len(self.t_ns), np.nan))
        read = ~np.isnan(values)
        return self.t_ns[read], values[read]


def read(path: Path) -> Telemetry:
    """Read a recording; a last line that is torn is left out. Raises InputError where it is none."""
    try:
        with path.open(newline="", errors="replace") as file:
            rows = list(csv.reader(line.replace("\0", "") for line in file))
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as telemetry ({error})") from error
    if not rows or rows[0][:1] != ["t_ns"]:
        raise InputError(f"{path}: not a telemetry recording of gpuprobe (its first column is not t_ns)")
    header = rows[0]
    whole = [row for row in rows[1:] if len(row) == len(header) and row[0].isdigit()]
    times = np.array([int(row[0]) for row in whole], np.int64)
    numbers = np.array([[_number(cell) for cell in row[1:-1]] for row in whole], np.float64)
    numbers = numbers.reshape(len(whole), len(header) - 2)
    columns = {name: numbers[:, index] for index, name in enumerate(header[1:-1])}
    return Telemetry(times, columns, tuple((int(row[0]), row[-1]) for row in whole if row[-1]))


def load_now(path: Path) -> str:
    """Say in a few words how busy the machine is, from the last rows of a recording that is being written."""
    try:
        with path.open("rb") as file:
            header = file.readline().decode().rstrip("\n").split(",")
            file.seek(max(file.seek(0, 2) - TAIL_BYTES, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    rows = [row for row in csv.reader(lines) if len(row) == len(header) and row[0].isdigit()]
    gpu = [cell for row in rows if (cell := _cell(row, header, "gpu0_utilization_percent"))]
    if gpu:
        power = [cell for row in rows if (cell := _cell(row, header, "gpu0_power_w"))]
        return f"GPU 0: {float(gpu[-1]):.0f} %" + (f", {float(power[-1]):.0f} W" if power else "")
    busy = [(int(row[0]), float(cell)) for row in rows if (cell := _cell(row, header, "tree_cpu_s"))]
    if len(busy) < 2:
        return ""
    (first_ns, first_s), (last_ns, last_s) = busy[0], busy[-1]
    cores = (last_s - first_s) / ((last_ns - first_ns) / 1e9)
    return f"CPU: {wording.significant(cores, 2)} cores busy with the training"


def _cell(row: Sequence[str], header: Sequence[str], name: str) -> str:
    return row[header.index(name)] if name in header else ""


def _number(cell: str) -> float:
    try:
        return float(cell) if cell else float("nan")
    except ValueError:
        return float("nan")
