"""A pipeline that makes batches more slowly than the traced steps take them: the steps live on what was made before.

A prefetch fills its buffer while the training pauses, as it does when a trace starts, and so do workers of PyTorch's
DataLoader. The first steps after that wait for no batch, however slow the pipeline is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.ledger.stages import PREFETCH, SEPARATOR, above, is_buffer, last, path
from gpuprobe.thresholds import fixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpuprobe.diagnosis.causes import CauseId
    from gpuprobe.diagnosis.records import Finding
    from gpuprobe.ledger.records import DeviceBreakdown, HostBreakdown, IteratorFacts, TraceBreakdown
    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds

# Causes that say that the device, or starting its work, takes all of the step.
FULL: frozenset[CauseId] = frozenset(("compute_bound", "batch_too_small"))


def batches_used_up(first: Finding, breakdown: TraceBreakdown) -> str:
    """Say which host's pipeline cannot keep up with the traced steps; empty where none is seen, or is the cause."""
    if first.cause == "input_bound":
        return ""
    for host, device in _fed(breakdown):
        made_ms, taken_ms = making_ms(host.iterators), taking_ms(host, device.step_ms, device.steps)
        if made_ms and taken_ms and made_ms >= fixed.MADE_TOO_SLOWLY * taken_ms:
            whose = f"the pipeline of {host.host}" if len(breakdown.hosts) > 1 else "the pipeline"
            return (
                f"{whose} takes {wording.milliseconds(made_ms)} to make a batch, and one is taken every "
                f"{wording.milliseconds(taken_ms)}: what was made ahead is used up, and then the training waits for it"
            )
    return ""


def batches_of_before(first: Finding, breakdown: TraceBreakdown, known: Evidence, limits: Thresholds) -> str:
    """Say that the steps of a full device may live on a buffer, where the trace does not show how fast it is filled.

    Calls of the timed window are more than a buffer holds: where they take as long as the traced steps, no batch is
    waited for.
    """
    if first.cause not in FULL or first.confidence != "high":
        return ""
    window_ms, step_ms = known.number("window_call_ms"), known.number("step_ms") or 0.0
    if window_ms and abs(1 - step_ms / window_ms) < limits.beside_full_share:
        return ""
    if not any(_unpaced(host, device) for host, device in _fed(breakdown)):
        return ""
    return "the traced steps may live on batches made before: the trace does not show how fast new ones are made"


def making_ms(stages: Sequence[IteratorFacts]) -> float | None:
    """Return how long one thread takes to make a batch for the outermost prefetch (ms).

    None where there is none, where several threads make its batches, or where too few were made.
    """
    maker = _maker(stages)
    return None if maker is None or maker.count < fixed.BATCHES_MADE else _making_ms(stages, maker)


def taking_ms(host: HostBreakdown, step_ms: float, steps: int) -> float | None:
    """Return how often the steps take a batch from the outermost prefetch (ms), None where they take none."""
    buffer = _buffer(host.iterators)
    # A trace begins and ends within a step, so that it may show a batch more or less than its steps take.
    a_step = round(buffer.count / steps) if buffer else 0
    return step_ms / a_step if a_step else None


def _fed(breakdown: TraceBreakdown) -> Iterator[tuple[HostBreakdown, DeviceBreakdown]]:
    """Yield each host with its first device, where that has steps."""
    for host in breakdown.hosts:
        device = next((device for device in breakdown.devices if device.host == host.host), None)
        if device is not None and device.steps:
            yield host, device


def _unpaced(host: HostBreakdown, device: DeviceBreakdown) -> bool:
    """Whether the steps take batches from a buffer, and nothing shows how fast these are made."""
    if 0 < host.batches_of_workers <= fixed.BATCHES_AHEAD:
        return True
    buffer, maker = _buffer(host.iterators), _maker(host.iterators)
    taken_ms = taking_ms(host, device.step_ms, device.steps)
    if buffer is None or taken_ms is None:
        return False
    if maker is None:
        # Several threads make the batches, or none was made in the trace.
        return buffer.count <= fixed.BATCHES_AHEAD
    if maker.count >= fixed.BATCHES_MADE:
        return False
    # A host that runs ahead takes them all at once, and the last new ones are made after the trace.
    several = maker.count > 1 or maker.count >= buffer.count
    return not several or fixed.MADE_WITH_EASE * _making_ms(host.iterators, maker) > taken_ms


def _buffer(stages: Sequence[IteratorFacts]) -> IteratorFacts | None:
    """Return the outermost prefetch, None where none is seen."""
    buffers = (stage for stage in stages if last(stage.name).startswith(PREFETCH))
    return min(buffers, key=lambda stage: len(path(stage.name)), default=None)


def _maker(stages: Sequence[IteratorFacts]) -> IteratorFacts | None:
    """Return the stage that the outermost prefetch calls, None where it has threads of its own or none is seen."""
    buffer = _buffer(stages)
    maker = next((stage for stage in stages if buffer is not None and above(stage.name) == buffer.name), None)
    return None if maker is None or is_buffer(maker.name) else maker


def _making_ms(stages: Sequence[IteratorFacts], maker: IteratorFacts) -> float:
    return sum(stage.self_ms for stage in stages if _on_its_thread(stage.name, maker.name)) / maker.count


def _on_its_thread(name: str, maker: str) -> bool:
    """Whether one thread runs both stages, or waits in one for the other: nothing between them makes batches ahead."""
    if name != maker and not name.startswith(maker + SEPARATOR):
        return False
    return not any(is_buffer(stage) for stage in path(name.removeprefix(maker))[1:-1])
