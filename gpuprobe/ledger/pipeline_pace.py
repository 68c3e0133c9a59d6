"""How fast a pipeline makes batches for its outermost prefetch, and how fast the steps take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.ledger.stages import PREFETCH, SEPARATOR, above, is_buffer, last, path
from gpuprobe.thresholds import DEFAULTS, fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown, IteratorFacts


def steps_fed_from_before(host: HostBreakdown, device: DeviceBreakdown) -> int:
    """Return how many of the device's first steps lived on batches that a pipeline too slow for them had made before.

    These are the steps before the first that waits for its input. 0 where no step waits, or where steps that never
    waited would take batches no faster than they are made.
    """
    fed_ms = device.step_ms - device.ledger_ms.get("idle_input", 0.0)
    made_ms, taken_ms = making_ms(host.iterators), taking_ms(host, fed_ms, device.steps)
    if not made_ms or not taken_ms or made_ms < fixed.MADE_TOO_SLOWLY * taken_ms:
        return 0
    waits = [step.ledger_ms.get("idle_input", 0.0) >= DEFAULTS.input_share * step.step_ms for step in device.each_step]
    return waits.index(True) if True in waits else 0


def making_ms(stages: Sequence[IteratorFacts]) -> float | None:
    """Return how long one thread takes to make a batch for the outermost prefetch (ms).

    None where there is none, where several threads make its batches, or where too few were made.
    """
    maker = maker_of(stages)
    return None if maker is None or maker.count < fixed.BATCHES_MADE else mean_making_ms(stages, maker)


def taking_ms(host: HostBreakdown, step_ms: float, steps: int) -> float | None:
    """Return how often the steps take a batch from the outermost prefetch (ms), None where they take none."""
    buffer = buffer_of(host.iterators)
    # A trace begins and ends within a step, so that it may show a batch more or less than its steps take.
    a_step = round(buffer.count / steps) if buffer else 0
    return step_ms / a_step if a_step else None


def buffer_of(stages: Sequence[IteratorFacts]) -> IteratorFacts | None:
    """Return the outermost prefetch, None where none is seen."""
    buffers = (stage for stage in stages if last(stage.name).startswith(PREFETCH))
    return min(buffers, key=lambda stage: len(path(stage.name)), default=None)


def maker_of(stages: Sequence[IteratorFacts]) -> IteratorFacts | None:
    """Return the stage that the outermost prefetch calls, None where it has threads of its own or none is seen."""
    buffer = buffer_of(stages)
    maker = next((stage for stage in stages if buffer is not None and above(stage.name) == buffer.name), None)
    return None if maker is None or is_buffer(maker.name) else maker


def mean_making_ms(stages: Sequence[IteratorFacts], maker: IteratorFacts) -> float:
    """Return how long the thread of `maker` takes on average to make one of its batches (ms)."""
    return sum(stage.self_ms for stage in stages if _on_its_thread(stage.name, maker.name)) / maker.count


def _on_its_thread(name: str, maker: str) -> bool:
    """Whether one thread runs both stages, or waits in one for the other: nothing between them makes batches ahead."""
    if name != maker and not name.startswith(maker + SEPARATOR):
        return False
    return not any(is_buffer(stage) for stage in path(name.removeprefix(maker))[1:-1])
