"""A pipeline that makes batches more slowly than the traced steps take them: the steps live on what was made before.

A prefetch fills its buffer while the training pauses, as it does when a trace starts. The first steps after that wait
for no batch, however slow the pipeline is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.ledger.stages import PREFETCH, SEPARATOR, above, is_buffer, last, path
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import HostBreakdown, IteratorFacts, TraceBreakdown


def batches_used_up(first: Finding, breakdown: TraceBreakdown) -> str:
    """Say which host's pipeline cannot keep up with the traced steps; empty where none is seen, or is the cause."""
    if first.cause == "input_bound":
        return ""
    for host in breakdown.hosts:
        device = next((device for device in breakdown.devices if device.host == host.host), None)
        if device is None or not device.steps:
            continue
        made_ms, taken_ms = making_ms(host.iterators), taking_ms(host, device.step_ms, device.steps)
        if made_ms and taken_ms and made_ms >= fixed.MADE_TOO_SLOWLY * taken_ms:
            whose = f"the pipeline of {host.host}" if len(breakdown.hosts) > 1 else "the pipeline"
            return (
                f"{whose} takes {wording.milliseconds(made_ms)} to make a batch, and one is taken every "
                f"{wording.milliseconds(taken_ms)}: what was made ahead is used up, and then the training waits for it"
            )
    return ""


def making_ms(stages: Sequence[IteratorFacts]) -> float | None:
    """Return how long one thread takes to make a batch for the outermost prefetch (ms).

    None where there is none, where several threads make its batches, or where too few were made.
    """
    maker = _maker(stages)
    if maker is None or maker.count < fixed.BATCHES_MADE:
        return None
    return sum(stage.self_ms for stage in stages if _on_its_thread(stage.name, maker.name)) / maker.count


def taking_ms(host: HostBreakdown, step_ms: float, steps: int) -> float | None:
    """Return how often the steps take a batch from the outermost prefetch (ms), None where they take none."""
    maker = _maker(host.iterators)
    taken = next((stage.count for stage in host.iterators if maker and stage.name == above(maker.name)), 0)
    # A trace begins and ends within a step, so that it may show a batch more or less than its steps take.
    a_step = round(taken / steps)
    return step_ms / a_step if a_step else None


def _maker(stages: Sequence[IteratorFacts]) -> IteratorFacts | None:
    """Return the stage that the outermost prefetch calls, None where it has threads of its own or none is seen."""
    below = (stage for stage in stages if last(above(stage.name)).startswith(PREFETCH))
    maker = min(below, key=lambda stage: len(path(stage.name)), default=None)
    return None if maker is None or is_buffer(maker.name) else maker


def _on_its_thread(name: str, maker: str) -> bool:
    """Whether one thread runs both stages: nothing between them makes batches ahead."""
    if name != maker and not name.startswith(maker + SEPARATOR):
        return False
    return not any(is_buffer(stage) for stage in path(name.removeprefix(maker))[1:])
