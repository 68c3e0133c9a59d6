"""The fixes: each returns a spec with one thing changed, to be simulated again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.simulate.spec import Spec

# The shortest kernel: a kernel that takes no time would not be in the trace.
LEAST_US = 0.001
PREFETCH, PARALLEL, FUSED, STEPS, BATCH, CARD = 2, 8, 8, 8, 4, 2.0


def input_free(spec: Spec) -> Spec:
    """Have every batch ready when it is requested; it is still copied to the device."""
    free = replace(spec.input, read_ms=0.0, map_ms=0.0, batch_ms=0.0, python_ms=0.0, shuffle_fill_ms=0.0)
    return replace(spec, input=replace(free, get_next_us=0.0))


def prefetch(spec: Spec, batches: int = PREFETCH) -> Spec:
    """Prepare batches ahead of the training."""
    return replace(spec, input=replace(spec.input, prefetch=max(spec.input.prefetch, batches)))


def parallel_map(spec: Spec, calls: int = PARALLEL) -> Spec:
    """Run the map function on several cores."""
    return replace(spec, input=replace(spec.input, parallel_calls=max(spec.input.parallel_calls, calls)))


def copies_hidden(spec: Spec) -> Spec:
    """Copy the next batch from pinned memory while this one is computed."""
    return replace(spec, copies=replace(spec.copies, ahead=True, pinned=True))


def uint8_feed(spec: Spec) -> Spec:
    """Copy images as bytes, and cast them on the device."""
    if spec.copies.feed_dtype == "uint8":
        return spec
    return replace(spec, copies=replace(spec.copies, feed_dtype="uint8", batch_mib=spec.copies.batch_mib / 4))


def launches_fused(spec: Spec) -> Spec:
    """Fuse kernels by XLA into fewer launches; the work itself stays the same."""
    fused = min(spec.kernels.fused * FUSED, spec.kernels.count)
    return replace(spec, kernels=replace(spec.kernels, fused=fused), host=replace(spec.host, eager=False))


def steps_per_execution(spec: Spec, several: int = STEPS) -> Spec:
    """Run several steps in one call from Python."""
    steps = max(spec.host.steps_per_execution, several)
    return replace(spec, host=replace(spec.host, steps_per_execution=steps, eager=False))


def batch_times(spec: Spec, factor: float = BATCH) -> Spec:
    """Multiply the batch size: kernels take longer once they fill the card; input and copies grow in proportion."""
    kernels, input_spec, fill = spec.kernels, spec.input, spec.kernels.fill
    growth = max(1.0, fill * factor) / max(1.0, fill)
    fixed_us = min(kernels.fixed_us, kernels.mean_us)
    grown = {name: getattr(input_spec, name) * factor for name in ("read_ms", "map_ms", "batch_ms", "python_ms")}
    return replace(
        spec,
        batch_size=math.ceil(spec.batch_size * factor),
        kernels=replace(
            kernels, mean_us=fixed_us + (kernels.mean_us - fixed_us) * growth, sm_fill=kernels.sm_fill * factor
        ),
        input=replace(input_spec, **grown),
        copies=replace(spec.copies, batch_mib=spec.copies.batch_mib * factor),
    )


def fp16(spec: Spec) -> Spec:
    """Multiply matrices in float16: faster with Tensor Cores, slower without."""
    return replace(spec, kernels=replace(spec.kernels, dtype="float16"))


def callbacks_removed(spec: Spec) -> Spec:
    """Do nothing in Python between two calls."""
    return replace(spec, host=replace(spec.host, callback_ms=0.0))


def faster_card(spec: Spec, factor: float = CARD) -> Spec:
    """Use a card that computes so many times as fast."""
    fixed_us = min(spec.kernels.fixed_us, spec.kernels.mean_us)
    mean_us = fixed_us + (spec.kernels.mean_us - fixed_us) / factor
    return replace(spec, kernels=replace(spec.kernels, mean_us=max(mean_us, LEAST_US)))


FIXES: dict[str, Callable[[Spec], Spec]] = {
    "input_free": input_free,
    f"prefetch_{PREFETCH}": prefetch,
    f"parallel_map_{PARALLEL}": parallel_map,
    "copies_hidden": copies_hidden,
    "uint8_feed": uint8_feed,
    f"launches_fused_{FUSED}": launches_fused,
    f"steps_per_execution_{STEPS}": steps_per_execution,
    f"batch_times_{BATCH}": batch_times,
    "fp16": fp16,
    "callbacks_removed": callbacks_removed,
    f"faster_card_{CARD:g}": faster_card,
}
