"""A recording into evidence: figures with unit, source and count, or the reason why they are missing.

Figures of a GPU cover its steady phase alone, so that starting up, pauses and the time after the work do not count as
idling. So do the host's figures beside a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.evidence.readings import gpu
from gpuprobe.evidence.readings.figures import level_of
from gpuprobe.evidence.readings.host import host_signals
from gpuprobe.evidence.readings.phases import busy_span, parts, phases
from gpuprobe.evidence.readings.stretch import Stretch
from gpuprobe.records import Evidence, Record
from gpuprobe.thresholds import DEFAULTS, Thresholds
from gpuprobe.units import NS_PER_S

if TYPE_CHECKING:
    from gpuprobe.records import GpuInfo, Watch
    from gpuprobe.telemetry import Telemetry


class PartSeen(Record, frozen=True, kw_only=True):
    """A part of a recording: `start_up`, `steady`, `pause`, `other` or `tail`, its length and mean utilization."""

    kind: str
    seconds: float
    percent: float


class GpuSeen(Record, frozen=True, kw_only=True):
    """The readings of one GPU: signals about it and the host, and for how many seconds it was busy and idle."""

    index: int
    name: str
    evidence: Evidence
    busy_s: float
    idle_before_s: float
    idle_between_s: float
    idle_after_s: float
    unknown_s: float
    busy_phases: int
    parts: tuple[PartSeen, ...] = ()


class Seen(Record, frozen=True, kw_only=True):
    """The readings of a command: the host's signals over all of it, those of each GPU, and the recording's notices."""

    duration_s: float
    host: Evidence
    gpus: tuple[GpuSeen, ...]
    said: tuple[str, ...]


def see(recording: Telemetry, watch: Watch, limits: Thresholds = DEFAULTS) -> Seen:
    """Gather the evidence of one watch; an unfinished watch ends with its last reading."""
    end_ns = ended_ns(recording, watch)
    infos = {gpu.index: gpu for gpu in watch.environment.gpus} if watch.environment else {}
    return Seen(
        duration_s=(end_ns - watch.started_ns) / NS_PER_S,
        host=Evidence(signals=host_signals(Stretch(recording, ((watch.started_ns, end_ns),)), watch)),
        gpus=tuple(_gpu_seen(recording, watch, index, infos.get(index), limits) for index in recording.gpus),
        said=tuple(words for _, words in recording.said),
    )


def ended_ns(recording: Telemetry, watch: Watch) -> int:
    """Return when a watch ended (Unix ns): with its last reading if it is not finished or its clock was set back."""
    if watch.ended_ns and watch.ended_ns >= watch.started_ns:
        return watch.ended_ns
    last_ns = int(recording.t_ns[-1]) if len(recording.t_ns) else watch.started_ns
    return max(last_ns, watch.started_ns)


def _gpu_seen(recording: Telemetry, watch: Watch, index: int, info: GpuInfo | None, limits: Thresholds) -> GpuSeen:
    prefix, column = f"gpu{index}_", gpu.busy_column(recording, f"gpu{index}_")
    whole = Stretch(recording, ((watch.started_ns, ended_ns(recording, watch)),))
    busy_or_idle = phases(recording, column, *whole.spans[0])
    span, kinds = busy_span(busy_or_idle), parts(recording, column, busy_or_idle, limits)
    steady = next((Stretch(recording, part.spans) for part in kinds if part.kind == "steady"), whole)
    idle = [phase for phase in busy_or_idle if phase.busy is False]
    signals = (
        *gpu.utilization(steady, prefix),
        *gpu.host_while_idle(steady, watch, prefix),
        *gpu.memory(whole, prefix, gpu.card_mib(recording, index, info)),
        *gpu.link(steady, prefix, recording.facts.get(f"gpu{index}", {})),
        *gpu.clocks(steady, prefix),
        gpu.other_processes(steady, prefix),
        level_of(steady, prefix + "other_sm_percent", "other_sm_percent", "%"),
        level_of(steady, prefix + "memory_utilization_percent", "memory_utilization_p95_percent", "%", 95),
        level_of(steady, prefix + "power_w", "power_w", "W"),
        level_of(steady, prefix + "temperature_c", "temperature_c", "deg C"),
    )
    return GpuSeen(
        index=index,
        name=info.name if info else f"GPU {index}",
        evidence=Evidence(signals=(*signals, *host_signals(steady, watch))),
        busy_s=sum(phase.seconds for phase in busy_or_idle if phase.busy),
        idle_before_s=sum(phase.seconds for phase in idle if span and phase.end_ns <= span[0]),
        idle_between_s=sum(phase.seconds for phase in idle if span and span[0] <= phase.start_ns < span[1]),
        idle_after_s=sum(phase.seconds for phase in idle if not span or phase.start_ns >= span[1]),
        unknown_s=sum(phase.seconds for phase in busy_or_idle if phase.busy is None),
        busy_phases=sum(phase.busy is True for phase in busy_or_idle),
        parts=tuple(PartSeen(kind=part.kind, seconds=part.seconds, percent=part.percent) for part in kinds),
    )
