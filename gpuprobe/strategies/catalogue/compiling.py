"""Strategies that differ in how the train step is compiled and computed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.cards import TENSOR_CORES_FROM
from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan

# Steps that one call runs: enough to make Python's share small, few enough for a short window to hold several.
STEPS_PER_EXECUTION = 8
# A GPU that waits for launches gains most from a large batch; on a processor the step grows as the batch does.
BATCH_FACTOR_GPU = 8
BATCH_FACTOR_CPU = 4


@strategy(order=80, against="tfdata_cache_prefetch", changes="a 16-bit dtype policy", what_if="fp16")
def mixed_precision(plan: Plan, machine: Machine) -> Plan:
    """Keras's mixed precision policy: 16-bit compute with 32-bit variables, for hardware that is faster at it."""
    if machine.compute_capability is None:
        note = () if machine.cpu_has_bfloat16 else ("no benefit expected: this processor emulates bfloat16",)
        return replace(plan, dtype_policy="mixed_bfloat16", notes=(*plan.notes, *note))
    if machine.compute_capability >= TENSOR_CORES_FROM:
        return replace(plan, dtype_policy="mixed_float16")
    note = (f"no benefit expected: compute capability {machine.compute_capability:.1f} has no Tensor Cores",)
    return replace(plan, dtype_policy="mixed_float16", notes=(*plan.notes, *note))


@strategy(
    order=90,
    against="tfdata_cache_prefetch",
    changes="XLA compiles the train step",
    changes_under={"torch": "torch.compile compiles the train step"},
    what_if="launches_fused",
    not_under={"jax": "Keras compiles every step with XLA under JAX already"},
)
def xla(plan: Plan, machine: Machine) -> Plan:
    """`jit_compile=True`: XLA, under PyTorch torch.compile, fuses small operations into fewer, larger kernels."""
    return replace(plan, jit_compile=True)


@strategy(
    order=100,
    against="tfdata_cache_prefetch",
    changes=f"{STEPS_PER_EXECUTION} steps per execution",
    what_if="steps_per_execution",
    part="fit",
    size=STEPS_PER_EXECUTION,
    sizes=(2, 4, 8, 16, 32, 64),
    not_under={"torch": "Keras takes one step per execution under PyTorch, and refuses more"},
)
def steps_per_execution(plan: Plan, machine: Machine, steps: int = STEPS_PER_EXECUTION) -> Plan:
    """Python calls the device once for several steps, so that the host's work between steps is paid less often."""
    return replace(plan, steps_per_execution=steps)


@strategy(order=110, against="tfdata_cache_prefetch", changes="a larger batch", what_if="batch_times", part="batch")
def large_batch(plan: Plan, machine: Machine) -> Plan:
    """A larger batch gives every kernel more to do; the loss falls less per sample, since there are fewer updates."""
    factor = BATCH_FACTOR_GPU if machine.has_gpu else BATCH_FACTOR_CPU
    limit = machine.largest_batch()
    while factor > 1 and plan.batch_size * factor > limit:
        factor //= 2
    note = () if factor > 1 else (f"memory holds no larger batch than {plan.batch_size}: nothing was changed",)
    return replace(plan, batch_size=plan.batch_size * factor, notes=(*plan.notes, *note))


@strategy(order=120, against="python_feed", changes="what a search kept of all that promised a gain", combines=True)
def tuned(plan: Plan, machine: Machine) -> Plan:
    """Found by a search from the study's baseline: the change that promises most is tried first.

    It is kept where it is faster beyond the noise and the loss stays the same, and the next one is chosen on top of it.
    """
    return plan
