"""The readings of a stretch of a run as evidence, like those of a command that was watched for so long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.diagnosis.readings.evidence import see
from gpuprobe.diagnosis.thresholds import DEFAULTS, Thresholds
from gpuprobe.records import Evidence, Watch
from gpuprobe.telemetry.matching import by_bus

if TYPE_CHECKING:
    from gpuprobe.records import Environment
    from gpuprobe.telemetry import Telemetry


def readings_in(
    recording: Telemetry,
    start_ns: int,
    end_ns: int,
    *,
    environment: Environment | None = None,
    gpu_pci_bus_id: str = "",
    limits: Thresholds = DEFAULTS,
) -> Evidence:
    """Gather the signals of the GPU that the run used, or of the host alone where none was sampled."""
    watched = Watch(
        name="",
        command=(),
        started_ns=start_ns,
        ended_ns=end_ns,
        environment=environment,
        cpu_limit=float(environment.cores) if environment else None,
    )
    seen = see(recording, watched, limits)
    index = by_bus(gpu_pci_bus_id, recording.facts) or 0
    return next((gpu.evidence for gpu in seen.gpus if gpu.index == index), seen.host)
