"""The readings of a run's timed window as evidence, like those of a command that was watched for so long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Evidence, Watch
from gpuprobe.telemetry.matching import by_bus
from gpuprobe.watch.evidence import see

if TYPE_CHECKING:
    from gpuprobe.records import Phase, Study
    from gpuprobe.telemetry import Telemetry


def readings_in(recording: Telemetry, study: Study, window: Phase, gpu_pci_bus_id: str) -> Evidence:
    """Gather the signals of the GPU that the run used, or of the host alone where it used none."""
    environment = study.environment
    watched = Watch(
        name=study.name,
        command=(),
        started_ns=window.start_ns,
        ended_ns=window.end_ns,
        environment=environment,
        cpu_limit=float(environment.cores),
    )
    seen = see(recording, watched)
    index = by_bus(gpu_pci_bus_id, recording.facts) or 0
    return next((gpu.evidence for gpu in seen.gpus if gpu.index == index), seen.host)
