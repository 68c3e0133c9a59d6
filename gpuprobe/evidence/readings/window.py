"""The readings of a stretch of a run, or of a whole log, as evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gpuprobe.evidence.readings.signals import see
from gpuprobe.evidence.readings.told import parts_told
from gpuprobe.records import Evidence, Watch
from gpuprobe.telemetry import windows
from gpuprobe.telemetry.matching import gpu_at_bus
from gpuprobe.thresholds import DEFAULTS, Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.records import Environment, Signal
    from gpuprobe.telemetry import Telemetry, TelemetrySummary


def readings_in(
    recording: Telemetry,
    start_ns: int,
    end_ns: int,
    *,
    environment: Environment | None = None,
    gpu_pci_bus_id: str = "",
    limits: Thresholds = DEFAULTS,
) -> Evidence:
    """Gather the signals between two times (Unix ns), of the GPU that the run used; of the host where none was read."""
    watched = Watch(
        name="",
        command=(),
        started_ns=start_ns,
        ended_ns=end_ns,
        environment=environment,
        cpu_limit=float(environment.cores) if environment else None,
    )
    seen = see(recording, watched, limits)
    index = gpu_at_bus(gpu_pci_bus_id, recording.facts) or 0
    return next((gpu.evidence for gpu in seen.gpus if gpu.index == index), seen.host)


def as_read(summary: TelemetrySummary, readings: Evidence) -> TelemetrySummary:
    """Return the summary of a window with the values that the diagnosis read.

    Those cover the window's steady part. A figure that only the summary holds, such as the energy, covers all of it.
    """
    read = {signal.name: signal for signal in readings.signals if signal.value is not None}

    def replaced(signals: Iterable[Signal]) -> tuple[Signal, ...]:
        return tuple(read.get(signal.name, signal) for signal in signals)

    first, others = summary.gpus[:1], summary.gpus[1:]
    return msgspec.structs.replace(summary, host=replaced(summary.host), gpus=(*map(replaced, first), *others))


def readings_of_log(recording: Telemetry, limits: Thresholds = DEFAULTS) -> tuple[Evidence, tuple[str, ...]]:
    """Gather the signals of the busiest GPU of a log; say what was assumed, and which parts were not judged."""
    times = recording.t_ns
    # The last row of a log stands for as long as the others.
    usual_ns, _ = windows.limits(np.unique(times))
    log = Watch(name="", command=(), started_ns=int(times[0]), ended_ns=int(times[-1]) + usual_ns)
    seen = see(recording, log, limits)
    busiest = max(seen.gpus, key=lambda gpu: (gpu.busy_s, -gpu.index), default=None)
    notices = [notice.words for notice in recording.states if notice.where == "log"]
    for gpu in seen.gpus:
        parts = parts_told(gpu)
        judged = ", the busiest, is judged" if gpu is busiest and len(seen.gpus) > 1 else ""
        if parts or judged:
            mean = gpu.evidence.number("utilization_percent")
            notices.append(f"GPU {gpu.index}{judged}: {parts or f'utilization {mean or 0.0:.0f} %'}")
    return (busiest.evidence if busiest else seen.host), tuple(notices)
