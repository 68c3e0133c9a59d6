"""The causes that a trace can name, each by its share of the step: words, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.ledger.pipeline import PYTHON_STAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpuprobe.records import Evidence
    from gpuprobe.thresholds import Thresholds


BOTH = frozenset({"gpu", "cpu"})


@dataclass(frozen=True)
class Cause:
    """One cause that idle or copying time can have: its share's signal, and from where on it is worth a finding.

    `on` are the kinds of device whose traces show it.
    """

    id: str
    share: str
    threshold: Callable[[Thresholds], float]
    claim: str
    fix: str
    also: tuple[str, ...] = ()
    on: frozenset[str] = frozenset({"gpu"})


CAUSES = (
    Cause(
        id="input_bound",
        share="share.idle_input",
        threshold=lambda limits: limits.input_share,
        claim="The {device} waits for the next batch in {share} of the step ({time}).",
        fix="Make the input pipeline faster: parallel map, cache() after it, prefetch at the end.",
        also=("slowest_iterator", "proof.idle_input"),
        on=BOTH,
    ),
    Cause(
        id="launch_bound",
        share="share.launch",
        threshold=lambda limits: limits.launch_share,
        claim="The {device} waits in {share} of the step ({time}) for kernels that the host has not launched yet, or "
        "that are launched and not started.",
        fix="Launch less for the same work: compile with XLA, a larger batch, several steps per execution.",
        also=(
            "share.idle_launch",
            "share.idle_queue",
            "kernels_per_step",
            "kernel_median_us",
            "kernels_under_10us_count_fraction",
        ),
    ),
    Cause(
        id="copy_bound",
        share="share.copy",
        threshold=lambda limits: limits.copy_share,
        claim="Copies that no kernel hides take {share} of the step ({time}).",
        fix="Copy less and earlier: feed uint8 and cast on the device, prefetch to the device, or keep the data there.",
        also=(
            "share.gpu_copy_h2d",
            "share.gpu_copy_d2h",
            "share.gpu_copy_d2d",
            "exposed_copy_fraction",
            "copy_h2d_gb_per_s",
        ),
    ),
    Cause(
        id="sync_every_step",
        share="share.idle_sync",
        threshold=lambda limits: limits.sync_share,
        claim="The {device} is idle in {share} of the step ({time}) while the host waits inside a synchronising call "
        "or reads a result back.",
        fix="Read losses and metrics on the host once in many steps, not in each.",
        also=("proof.idle_sync",),
    ),
    Cause(
        id="host_between_steps",
        share="share.idle_between_steps",
        threshold=lambda limits: limits.between_steps_share,
        claim="The {device} is idle in {share} of the step ({time}) while the host is outside the training function: "
        "callbacks, metrics, logging, Python.",
        fix="Do less between steps: fewer callbacks and summaries per batch, verbose=2, several steps per execution.",
        also=("idle_outside_step_fraction", "proof.idle_between_steps"),
        on=BOTH,
    ),
    Cause(
        id="collective_bound",
        share="share.gpu_collective",
        threshold=lambda limits: limits.collective_share,
        claim="Exchanging gradients between devices takes {share} of the step ({time}) in which no kernel computes.",
        fix="Exchange less often or in fewer, larger parts, in float16, or over a faster link.",
        also=("kernel_fraction",),
    ),
    Cause(
        id="gpu_memory_tight",
        share="share.idle_memory",
        threshold=lambda limits: limits.memory_share,
        claim="The {device} is idle in {share} of the step ({time}) while the host allocates or frees device memory.",
        fix="Leave the allocator room: a smaller batch, or no other process on the card.",
        also=("proof.idle_memory",),
    ),
    Cause(
        id="recompiling",
        share="share.idle_compile",
        threshold=lambda limits: limits.compile_share,
        claim="The {device} is idle in {share} of the step ({time}) while the host builds graphs or compiles.",
        fix="Let every step have the same shapes and types: drop_remainder=True, tensors instead of Python numbers.",
        also=("graphs_built", "compile_ms", "proof.idle_compile"),
        on=BOTH,
    ),
    # A GPU's kernels tell these two otherwise (`conditions`); a processor's own operations tell them in its steps.
    Cause(
        id="eager_or_retracing",
        share="share.dispatch",
        threshold=lambda limits: limits.overhead_share,
        claim="In {share} of the step ({time}) Python starts single operations one by one.",
        fix="Compile without run_eagerly, and put the step into one tf.function.",
        also=("eager_share", "run_eagerly"),
        on=frozenset({"cpu"}),
    ),
    Cause(
        id="batch_too_small",
        share="share.overhead",
        threshold=lambda limits: limits.overhead_share,
        claim="In {share} of the step ({time}) the function is called or runs, and no operation is at work that takes "
        "longer than to start one: there is too little to do in each.",
        fix="Train with a larger batch and a learning rate to match, and check that the loss still falls as before; "
        "several steps per execution save what each call costs.",
        also=("batch_size", "share.cpu_compute"),
        on=frozenset({"cpu"}),
    ),
)


def because(cause: Cause, evidence: Evidence) -> str:
    """Say what makes it so in this trace, as a sentence with a space before it; empty where the trace does not tell."""
    if cause.id == "launch_bound":
        count, median_us = evidence.number("kernels_per_step"), evidence.number("kernel_median_us")
        if count is not None and median_us is not None:
            length = wording.milliseconds(median_us / 1000)
            return f" A step starts {count:,.0f} kernels one by one, and the median one runs for {length}."
    if cause.id == "input_bound" and (stage := evidence.text("slowest_iterator")):
        slowest = stage.rpartition("::")[2]
        if slowest == PYTHON_STAGE:
            return " Python gathers each batch and makes tensors of it before the step can begin."
        if slowest.startswith(("Prefetch", "Model", "Root")):
            return " What fills its buffer of batches is slower than the training, and the trace shows no more of it."
        return f" The slowest stage of the pipeline is {slowest}."
    return ""
