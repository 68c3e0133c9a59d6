"""What could be changed about a session: each fix is a spec with one thing changed, to be simulated again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.simulate.work import has_tensor_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.simulate.spec import Spec

# As much as `cuLaunchKernel` can be shortened without a launch costing nothing at all.
NO_LAUNCH_US = 0.001
FASTER_LINK = 1e6
PREFETCH, PARALLEL, FUSED, STEPS, BATCH, CARD = 2, 8, 8, 8, 4, 2.0


def input_free(spec: Spec) -> Spec:
    """Every batch is ready when it is asked for; it is still copied to the device."""
    free = replace(spec.input, read_ms=0.0, map_ms=0.0, batch_ms=0.0, python_ms=0.0, shuffle_fill_ms=0.0)
    return replace(spec, input=replace(free, get_next_us=0.0))


def prefetch(spec: Spec, batches: int = PREFETCH) -> Spec:
    """Batches are prepared ahead of the training."""
    return replace(spec, input=replace(spec.input, prefetch=max(spec.input.prefetch, batches)))


def parallel_map(spec: Spec, calls: int = PARALLEL) -> Spec:
    """The map function runs on several cores."""
    return replace(spec, input=replace(spec.input, parallel_calls=max(spec.input.parallel_calls, calls)))


def copies_hidden(spec: Spec) -> Spec:
    """The next batch is copied, from pinned memory, while this one is computed."""
    return replace(spec, copies=replace(spec.copies, ahead=True, pinned=True))


def uint8_feed(spec: Spec) -> Spec:
    """Images cross the bus as bytes, and are cast on the device."""
    if spec.copies.feed_dtype == "uint8":
        return spec
    return replace(spec, copies=replace(spec.copies, feed_dtype="uint8", batch_mib=spec.copies.batch_mib / 4))


def launches_fused(spec: Spec) -> Spec:
    """XLA fuses kernels, so that there are fewer launches; the work itself stays."""
    fused = min(spec.kernels.fused * FUSED, spec.kernels.count)
    return replace(spec, kernels=replace(spec.kernels, fused=fused), host=replace(spec.host, eager=False))


def steps_per_execution(spec: Spec, several: int = STEPS) -> Spec:
    """One call from Python runs several steps."""
    steps = max(spec.host.steps_per_execution, several)
    return replace(spec, host=replace(spec.host, steps_per_execution=steps, eager=False))


def batch_times(spec: Spec, factor: float = BATCH) -> Spec:
    """A batch that much larger: kernels grow only once they fill the card; input and copies grow with it."""
    kernels, given, fill = spec.kernels, spec.input, spec.kernels.sm_fill
    growth = max(1.0, fill * factor) / max(1.0, fill)
    fixed_us = min(kernels.fixed_us, kernels.mean_us)
    grown = {name: getattr(given, name) * factor for name in ("read_ms", "map_ms", "batch_ms", "python_ms")}
    return replace(
        spec,
        batch_size=math.ceil(spec.batch_size * factor),
        kernels=replace(
            kernels, mean_us=fixed_us + (kernels.mean_us - fixed_us) * growth, sm_fill=kernels.sm_fill * factor
        ),
        input=replace(given, **grown),
        copies=replace(spec.copies, batch_mib=spec.copies.batch_mib * factor),
    )


def fp16(spec: Spec) -> Spec:
    """Matrices are multiplied in float16: faster with Tensor Cores, slower without."""
    return replace(spec, kernels=replace(spec.kernels, dtype="float16"))


def callbacks_removed(spec: Spec) -> Spec:
    """Python does nothing between two calls."""
    return replace(spec, host=replace(spec.host, callback_ms=0.0))


def faster_card(spec: Spec, factor: float = CARD) -> Spec:
    """A card that computes so many times as fast."""
    fixed_us = min(spec.kernels.fixed_us, spec.kernels.mean_us)
    mean_us = fixed_us + (spec.kernels.mean_us - fixed_us) / factor
    return replace(spec, kernels=replace(spec.kernels, mean_us=max(mean_us, NO_LAUNCH_US)))


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


# --- what each cause costs: the session without it --------------------------------------------------------------


def _launch_free(spec: Spec) -> Spec:
    host = replace(spec.host, dispatch_us=0.0, launch_us=NO_LAUNCH_US, function_call_us=0.0, wddm_batch=1)
    return replace(spec, host=host)


def _copy_free(spec: Spec) -> Spec:
    copies = replace(
        spec.copies, link_gb_per_s=FASTER_LINK, pageable_gb_per_s=FASTER_LINK, latency_us=0.0, on_card_mib=0.0
    )
    return replace(spec, copies=copies)


def _sync_free(spec: Spec) -> Spec:
    return replace(spec, host=replace(spec.host, sync_every=0, syncs_in_step=0))


def _never_compiling(spec: Spec) -> Spec:
    return replace(spec, host=replace(spec.host, compile_ms=0.0))


def _not_eager(spec: Spec) -> Spec:
    changed = replace(spec, host=replace(spec.host, eager=False))
    return _never_compiling(changed) if spec.host.compile_kind == "retracing" else changed


def _other_dtype(spec: Spec) -> Spec:
    wanted = "float16" if has_tensor_cores(spec.card) else "float32"
    return replace(spec, kernels=replace(spec.kernels, dtype=wanted))


def _filled(spec: Spec) -> Spec:
    kernels = spec.kernels
    fixed_us = min(kernels.fixed_us, kernels.mean_us)
    mean_us = fixed_us + (kernels.mean_us - fixed_us) * min(1.0, kernels.sm_fill)
    return replace(spec, kernels=replace(kernels, mean_us=max(mean_us, NO_LAUNCH_US)))


def _alone(spec: Spec) -> Spec:
    return replace(spec, card=replace(spec.card, other_process_share=0.0))


def _cool(spec: Spec) -> Spec:
    return replace(spec, card=replace(spec.card, clock_fraction=1.0))


def _whole_link(spec: Spec) -> Spec:
    return replace(spec, card=replace(spec.card, pcie_fraction=1.0))


def _roomy(spec: Spec) -> Spec:
    return replace(spec, host=replace(spec.host, allocations=0))


def _no_exchange(spec: Spec) -> Spec:
    return replace(spec, collective=replace(spec.collective, allreduce_ms=0.0))


def _even(spec: Spec) -> Spec:
    return replace(spec, collective=replace(spec.collective, straggler_slowdown=1.0))


def _on_the_gpu(spec: Spec) -> Spec:
    return replace(spec, card=replace(spec.card, on_gpu=True))


# A cause counts where its cure changes the spec at all.
CURES: dict[str, Callable[[Spec], Spec]] = {
    "input_bound": input_free,
    "launch_bound": _launch_free,
    "batch_too_small": _filled,
    "copy_bound": _copy_free,
    "sync_every_step": _sync_free,
    "host_between_steps": callbacks_removed,
    "eager_or_retracing": _not_eager,
    "recompiling": _never_compiling,
    "tensor_cores_unused": _other_dtype,
    "fp16_without_tensor_cores": _other_dtype,
    "throttled": _cool,
    "pcie_degraded": _whole_link,
    "gpu_shared": _alone,
    "gpu_memory_tight": _roomy,
    "collective_bound": _no_exchange,
    "straggler": _even,
    "not_on_gpu": _on_the_gpu,
}


def possible(cause: str, spec: Spec) -> bool:
    """Whether a cause can hold here at all: two have the same cure, and each its kind of card."""
    if cause == "tensor_cores_unused":
        return has_tensor_cores(spec.card) and spec.card.on_gpu
    if cause == "fp16_without_tensor_cores":
        return not has_tensor_cores(spec.card) and spec.card.on_gpu
    if cause == "recompiling":
        return spec.host.compile_kind == "xla"
    if not spec.card.on_gpu:
        return cause in {"not_on_gpu", "input_bound", "host_between_steps", "eager_or_retracing"}
    return True
