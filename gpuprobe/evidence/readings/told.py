"""The parts of a recording in words: how long the judged part is, and how long each of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.evidence.readings.signals import GpuSeen, PartSeen

# The number of other phases that are named one by one.
MOST_PHASES = 3


def parts_told(gpu: GpuSeen) -> str:
    """Say how long the steady phase of one GPU and each other part was; empty where it was all."""
    steady = next((part for part in gpu.parts if part.kind == "steady"), None)
    others = [part for part in gpu.parts if part.kind != "steady" and part.seconds >= fixed.PHASE_EDGE_S]
    if steady is None or not others:
        return ""
    total_s = sum(part.seconds for part in gpu.parts)
    share = wording.share(steady.seconds / total_s)
    judged = f"steady for {_length(steady)} ({share} of the time) at {steady.percent:.0f} %"
    return f"{judged}; beside it {wording.listing(_other_parts(others))}"


def _other_parts(others: Sequence[PartSeen]) -> list[str]:
    lengths = [f"{_length(part)} of starting up" for part in others if part.kind == "start_up"]
    pauses = [part for part in others if part.kind == "pause"]
    if pauses:
        lengths.append(
            f"{wording.clock(sum(part.seconds for part in pauses))} in {wording.count(len(pauses), 'pause')}"
        )
    phases = [part for part in others if part.kind == "other"]
    lengths += [f"{_length(part)} at {part.percent:.0f} %" for part in phases[:MOST_PHASES]]
    if phases[MOST_PHASES:]:
        rest = phases[MOST_PHASES:]
        lengths.append(
            f"{wording.clock(sum(part.seconds for part in rest))} in {wording.count(len(rest), 'other phase')}"
        )
    return [*lengths, *(f"{_length(part)} after the work" for part in others if part.kind == "tail")]


def _length(part: PartSeen) -> str:
    return wording.clock(part.seconds)
