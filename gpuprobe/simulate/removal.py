"""Defines for each cause how its flaw is removed from a session: the one change to the machine or the program.

A removal takes the flaw away entirely and leaves all else unchanged, above all the work that the network needs. Real
fixes cannot do that: they are in `fixes`, and gain less. `REMOVALS` is the simulator's definition of its causes;
docs/simulated-truth.md shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gpuprobe.simulate import fixes
from gpuprobe.simulate.work import has_tensor_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.simulate.spec import Spec

# The shortest launch call that a spec allows, and a bandwidth with which copies take no time.
NO_LAUNCH_US = 0.001
ENDLESS_GB_PER_S = 1e9


@dataclass(frozen=True)
class Removal:
    """How one cause is removed: `words` complete the sentence "in the session without it ...".

    Where a removal `contains` another cause, it gets only what it saves beyond that one. Removing all copies also
    removes the cost of a slow link, but that part is due to the link.
    """

    cause: str
    words: str
    apply: Callable[[Spec], Spec]
    contains: str | None = None


def _launch_free(spec: Spec) -> Spec:
    host = replace(spec.host, dispatch_us=0.0, launch_us=NO_LAUNCH_US, function_call_us=0.0, wddm_batch=1)
    return replace(spec, host=host)


def _not_eager(spec: Spec) -> Spec:
    changed = replace(spec, host=replace(spec.host, eager=False))
    return _never_compiling(changed) if spec.host.compile_kind == "retracing" else changed


def _never_compiling(spec: Spec) -> Spec:
    return replace(spec, host=replace(spec.host, compile_ms=0.0))


def _no_xla_compiling(spec: Spec) -> Spec:
    """Remove all compilation by XLA, also that for a single new shape: a trace does not tell the two apart."""
    known = _nothing_once(spec) if spec.host.once_kind == "specialising" else spec
    return _never_compiling(known) if spec.host.compile_kind == "xla" else known


def _copy_free(spec: Spec) -> Spec:
    copies = replace(
        spec.copies,
        link_gb_per_s=ENDLESS_GB_PER_S,
        pageable_gb_per_s=ENDLESS_GB_PER_S,
        latency_us=0.0,
        on_card_mib=0.0,
    )
    return replace(spec, copies=copies)


def _sync_free(spec: Spec) -> Spec:
    host = replace(spec.host, sync_every=0, syncs_in_step=0)
    return replace(spec, host=host, copies=replace(spec.copies, back_mib=0.0))


def _with_tensor_cores(spec: Spec) -> Spec:
    return fixes.fp16(spec) if spec.card.on_gpu and has_tensor_cores(spec.card) else spec


def _without_slow_halves(spec: Spec) -> Spec:
    if not spec.card.on_gpu or has_tensor_cores(spec.card):
        return spec
    return replace(spec, kernels=replace(spec.kernels, dtype="float32"))


def _filled(spec: Spec) -> Spec:
    kernels = spec.kernels
    fixed_us = min(kernels.fixed_us, kernels.mean_us)
    mean_us = fixed_us + (kernels.mean_us - fixed_us) * min(1.0, kernels.fill)
    return replace(spec, kernels=replace(kernels, mean_us=max(mean_us, fixes.LEAST_US)))


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


def _no_host_work(spec: Spec) -> Spec:
    return replace(spec, host=replace(spec.host, host_work_ms=0.0))


def _nothing_once(spec: Spec) -> Spec:
    return replace(spec, host=replace(spec.host, once_ms=0.0))


def _prompt_epochs(spec: Spec) -> Spec:
    return replace(spec, run=replace(spec.run, epoch_start_ms=0.0))


def _no_validation(spec: Spec) -> Spec:
    return replace(spec, run=replace(spec.run, validation_ms=0.0))


def _no_checkpoints(spec: Spec) -> Spec:
    return replace(spec, run=replace(spec.run, checkpoint_ms=0.0))


def _started(spec: Spec) -> Spec:
    return replace(spec, run=replace(spec.run, startup_s=0.0))


REMOVALS = (
    Removal("input_bound", "every batch is ready when it is asked for, and is still copied", fixes.input_free),
    Removal("launch_bound", "dispatching, launching and calling the train function take no time", _launch_free),
    Removal("host_work", "the launching thread does no work of its own", _no_host_work),
    Removal("one_time_work", "nothing is loaded, tuned or specialised in the traced steps", _nothing_once),
    Removal("batch_too_small", "kernels take the share of their time for which they fill the card", _filled),
    Removal("copy_bound", "copies take no time", _copy_free, contains="pcie_degraded"),
    Removal("pcie_degraded", "the link has its whole bandwidth", _whole_link),
    Removal("sync_every_step", "nothing is read back, so that nobody waits for the device", _sync_free),
    Removal("host_between_steps", "Python does nothing between two calls", fixes.callbacks_removed),
    Removal("eager_or_retracing", "operations run in a train function that is traced once", _not_eager),
    Removal("recompiling", "XLA has compiled before, for every shape", _no_xla_compiling),
    Removal("tensor_cores_unused", "matrices are multiplied in float16, on Tensor Cores", _with_tensor_cores),
    Removal("fp16_without_tensor_cores", "they are multiplied in float32, without them", _without_slow_halves),
    Removal("throttled", "the clock is that of a cool card", _cool),
    Removal("gpu_shared", "no other process uses the card", _alone),
    Removal("gpu_memory_tight", "nothing is allocated within a step", _roomy),
    Removal("collective_bound", "exchanging the gradients takes no time", _no_exchange),
    Removal("straggler", "all cards are as fast as the fastest", _even),
    Removal("not_on_gpu", "the training uses the card", _on_the_gpu),
    Removal("epoch_start", "an epoch's first batch is there as soon as any other", _prompt_epochs),
    Removal("validation", "nothing is validated", _no_validation),
    Removal("checkpointing", "nothing is saved", _no_checkpoints),
    Removal("startup", "data and model are there at once", _started),
)


def without(spec: Spec, causes: tuple[str, ...]) -> Spec:
    """Return the spec without these causes."""
    for removal in REMOVALS:
        if removal.cause in causes:
            spec = removal.apply(spec)
    return spec


def removable(spec: Spec) -> list[Removal]:
    """Return the removals that change this spec."""
    return [removal for removal in REMOVALS if removal.apply(spec) != spec]
