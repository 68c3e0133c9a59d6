"""A recording into evidence: figures with unit, source and count, or the reason why they are missing.

Figures about the GPU are over its steady phase, so that starting up, pauses and what comes after are not taken for
idling; the host's, too, where there is one.
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
    """A part of a recording: starting up, steady, a pause, another phase or the tail; its cost and its mean."""

    kind: str
    seconds: float
    percent: float


class GpuSeen(Record, frozen=True, kw_only=True):
    """What was seen of one GPU: signals about it and the host, and how long it was busy and idle, in seconds."""

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
    """What was seen of a command: the host's signals over all of it, each GPU's, and what was said in words."""

    duration_s: float
    host: Evidence
    gpus: tuple[GpuSeen, ...]
    said: tuple[str, ...]


def see(recording: Telemetry, watch: Watch, limits: Thresholds = DEFAULTS) -> Seen:
    """Gather the evidence of one watch; an unfinished one is taken up to its last reading."""
    end_ns = ended_ns(recording, watch)
    infos = {gpu.index: gpu for gpu in watch.environment.gpus} if watch.environment else {}
    return Seen(
        duration_s=(end_ns - watch.started_ns) / NS_PER_S,
        host=Evidence(signals=host_signals(Stretch(recording, ((watch.started_ns, end_ns),)), watch)),
        gpus=tuple(_gpu(recording, watch, index, infos.get(index), limits) for index in recording.gpus),
        said=tuple(words for _, words in recording.said),
    )


def ended_ns(recording: Telemetry, watch: Watch) -> int:
    """Return when a watch ended: with its last reading where it is not finished, or its clock was set back."""
    if watch.ended_ns and watch.ended_ns >= watch.started_ns:
        return watch.ended_ns
    last_ns = int(recording.t_ns[-1]) if len(recording.t_ns) else watch.started_ns
    return max(last_ns, watch.started_ns)


def _gpu(recording: Telemetry, watch: Watch, index: int, info: GpuInfo | None, limits: Thresholds) -> GpuSeen:
    prefix, column = f"gpu{index}_", gpu.busy_column(recording, f"gpu{index}_")
    whole = Stretch(recording, ((watch.started_ns, ended_ns(recording, watch)),))
    found = phases(recording, column, *whole.spans[0])
    span, made = busy_span(found), parts(recording, column, found, limits)
    steady = next((Stretch(recording, part.spans) for part in made if part.kind == "steady"), whole)
    idle = [phase for phase in found if phase.busy is False]
    signals = (
        *gpu.utilization(steady, prefix),
        *gpu.together(steady, watch, prefix),
        *gpu.memory(whole, prefix, gpu.card_mib(recording, index, info)),
        *gpu.link(steady, prefix, recording.facts.get(f"gpu{index}", {})),
        *gpu.clocks(steady, prefix),
        gpu.others(steady, prefix),
        level_of(steady, prefix + "other_sm_percent", "other_sm_percent", "%"),
        level_of(steady, prefix + "memory_utilization_percent", "memory_utilization_p95_percent", "%", 95),
        level_of(steady, prefix + "power_w", "power_w", "W"),
        level_of(steady, prefix + "temperature_c", "temperature_c", "deg C"),
    )
    return GpuSeen(
        index=index,
        name=info.name if info else f"GPU {index}",
        evidence=Evidence(signals=(*signals, *host_signals(steady, watch))),
        busy_s=sum(phase.seconds for phase in found if phase.busy),
        idle_before_s=sum(phase.seconds for phase in idle if span and phase.end_ns <= span[0]),
        idle_between_s=sum(phase.seconds for phase in idle if span and span[0] <= phase.start_ns < span[1]),
        idle_after_s=sum(phase.seconds for phase in idle if not span or phase.start_ns >= span[1]),
        unknown_s=sum(phase.seconds for phase in found if phase.busy is None),
        busy_phases=sum(phase.busy is True for phase in found),
        parts=tuple(PartSeen(kind=part.kind, seconds=part.seconds, percent=part.percent) for part in made),
    )
