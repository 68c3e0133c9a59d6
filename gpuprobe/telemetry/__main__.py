"""The sampler process: `python -m gpuprobe.telemetry FILE PID` samples until its stdin closes or its parent ends."""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from gpuprobe.telemetry import host, nvml
from gpuprobe.telemetry.lifeline import end_with_parent
from gpuprobe.telemetry.recording import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable

FAST_HZ = 20
# Reading all processes of a tree costs far more than asking the driver; twice a second is enough for counters.
SLOW_EVERY = 10


def main(path: Path, pid: int) -> None:
    """Write one row per tick to the file, on a schedule that does not drift."""
    end_with_parent()
    devices, said = _devices()
    try:
        root = psutil.Process(pid)
    except psutil.Error:
        root = None
    columns = [*host.FIELDS, *host.core_fields()]
    columns += [f"gpu{device.index}_{field}" for device in devices for field in nvml.FIELDS]
    writer = Writer(path, columns)
    for line in said:
        writer.row(time.time_ns(), {}, line)
    start, tick = time.monotonic(), 0
    while not _told_to_stop(start + tick / FAST_HZ):
        _sample(writer, devices, root, slow=tick % SLOW_EVERY == 0)
        # A tick that was missed is left out, so that the others stay on time.
        tick = max(tick + 1, int((time.monotonic() - start) * FAST_HZ))
    _sample(writer, devices, root, slow=True)


def _sample(writer: Writer, devices: Iterable[nvml.Device], root: psutil.Process | None, *, slow: bool) -> None:
    t_ns = time.time_ns()
    values = host.sample(root) if slow else {}
    said: list[str] = []
    for device in devices:
        found, words = device.sample(slow=slow)
        values |= {f"gpu{device.index}_{name}": value for name, value in found.items()}
        said += words
    if values or said:
        writer.row(t_ns, values, "; ".join(said))


def _devices() -> tuple[list[nvml.Device], list[str]]:
    try:
        return [nvml.Device(index) for index in range(nvml.start())], []
    except nvml.NvmlError as error:
        return [], [f"no GPU: {error}"]


def _told_to_stop(until_s: float) -> bool:
    wait_s = max(0.0, until_s - time.monotonic())
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
