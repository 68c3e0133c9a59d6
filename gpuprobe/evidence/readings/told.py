"""The parts of a recording in words: what was judged, and what everything else cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.evidence.readings.signals import GpuSeen, PartSeen

# As many other phases are told one by one.
MOST_PHASES = 3


def parts_told(gpu: GpuSeen) -> str:
    """Return a sentence on the steady phase of one GPU, and what else there was; empty where it was all."""
    steady = next((part for part in gpu.parts if part.kind == "steady"), None)
    others = [part for part in gpu.parts if part.kind != "steady" and part.seconds >= fixed.PHASE_EDGE_S]
    if steady is None or not others:
        return ""
    whole = sum(part.seconds for part in gpu.parts)
    judged = (
        f"steady for {_length(steady)} ({wording.share(steady.seconds / whole)} of the time) at {steady.percent:.0f} %"
    )
    return f"{judged}; beside it {wording.listing(_costs(others))}"


def _costs(others: Sequence[PartSeen]) -> list[str]:
    told = [f"{_length(part)} of starting up" for part in others if part.kind == "start_up"]
    pauses = [part for part in others if part.kind == "pause"]
    if pauses:
        told.append(f"{wording.clock(sum(part.seconds for part in pauses))} in {wording.count(len(pauses), 'pause')}")
    phases = [part for part in others if part.kind == "other"]
    told += [f"{_length(part)} at {part.percent:.0f} %" for part in phases[:MOST_PHASES]]
    if phases[MOST_PHASES:]:
        rest = phases[MOST_PHASES:]
        told.append(f"{wording.clock(sum(part.seconds for part in rest))} in {wording.count(len(rest), 'other phase')}")
    return [*told, *(f"{_length(part)} after the work" for part in others if part.kind == "tail")]


def _length(part: PartSeen) -> str:
    return wording.clock(part.seconds)
