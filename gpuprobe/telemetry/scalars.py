"""Writes a finished recording as TensorBoard scalars, shown beside the traces, without importing TensorFlow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary import Writer
from tensorboard.summary._output import DirectoryOutput
from tensorboard.summary.writer.record_writer import RecordWriter

from gpuprobe.errors import OutputError
from gpuprobe.telemetry.monitors import BUFFER_FIELDS
from gpuprobe.telemetry.recording import GPU_COLUMN
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gpuprobe.telemetry.recording import Telemetry

# The host's columns that are shown; counters become rates.
HOST_LEVELS = ("tree_memory_mib", "memory_available_mib", "run_queue")
HOST_RATES = {"tree_cpu_s": "cpu_cores", "iowait_s": "iowait_cores", "disk_read_mib": "disk_read_mib_per_s"}
# Columns of single processes and links are too many to show.
SINGLE_PROCESS_OR_LINK = re.compile(r"(process|nvlink)\d+_")
NOT_SHOWN = ("energy_j", "ecc_corrected", "ecc_uncorrected", "pcie_replays", "throttle_reasons")


def write_scalars(recording: Telemetry, folder: Path) -> int:
    """Write an event file into `folder` and return how many values it holds: means over each second of the recording.

    Tags are `gpu0/power_w` and `host/cpu_cores`; the step is the second since the start. Raises OutputError where
    the file cannot be written.
    """
    if not len(recording.t_ns):
        return 0
    start_ns = int(recording.t_ns[0])
    scalar_count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writer = Writer(_FileOutput(folder / f"events.out.tfevents.{start_ns // NS_PER_S}.gpuprobe"))
        for tag, times, values in _tagged_series(recording):
            for second, mean in _means_by_second((times - start_ns) // NS_PER_S, values):
                writer.add_scalar(tag, mean, second, wall_time=start_ns / NS_PER_S + second)
                scalar_count += 1
        writer.close()
    except OSError as error:
        raise OutputError(f"{folder}: TensorBoard's scalars cannot be written ({error.strerror})") from error
    return scalar_count


class _FileOutput(DirectoryOutput):  # type: ignore[misc]
    """Writes to a plain file in place of TensorBoard's own class, which imports TensorFlow."""

    def __init__(self, path: Path) -> None:
        self._ev_writer = _Events(path)


class _Events:
    """The event writer that TensorBoard's summary writer needs, by TensorBoard's record writer."""

    def __init__(self, path: Path) -> None:
        self._records = RecordWriter(path.open("wb"))
        self.add_event(Event(wall_time=0, file_version="brain.Event:2"))

    def add_event(self, event: Any) -> None:
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


def _tagged_series(recording: Telemetry) -> list[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
    series = []
    for column in recording.columns:
        gpu_column = GPU_COLUMN.match(column)
        field_name = column[gpu_column.end() :] if gpu_column else column
        if SINGLE_PROCESS_OR_LINK.match(field_name):
            continue
        if (gpu_column and field_name not in (*NOT_SHOWN, *BUFFER_FIELDS)) or (
            not gpu_column and field_name in HOST_LEVELS
        ):
            tag_group = gpu_column[0].rstrip("_") if gpu_column else "host"
            series.append((f"{tag_group}/{field_name}", *recording.series(column)))
    for column, field_name in HOST_RATES.items():
        times, values = recording.series(column)
        if len(times) > 1:
            series.append((f"host/{field_name}", times[1:], np.diff(values) / (np.diff(times) / NS_PER_S)))
    return series


def _means_by_second(seconds: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[int, float]]:
    distinct_seconds, second_index = np.unique(seconds, return_inverse=True)
    second_means = np.bincount(second_index, weights=values) / np.bincount(second_index)
    return list(zip(distinct_seconds.tolist(), second_means.tolist(), strict=True))
