"""What each cause is in plain words, for a reader who has never heard of its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.records import Finding

PLAIN = {
    "input_bound": "the next batch comes too late",
    "launch_bound": "the host starts the kernels more slowly than the GPU runs them",
    "batch_too_small": "the batch is too small to keep the device at work",
    "copy_bound": "copies between host and GPU take the time",
    "sync_every_step": "the host stops to read results in every step",
    "host_between_steps": "Python is busy between the steps",
    "eager_or_retracing": "Python runs the step operation by operation, or builds its graph again and again",
    "recompiling": "the step is compiled again and again",
    "compute_bound": "the device itself is the limit, which is the healthy case",
    "tensor_cores_unused": "the Tensor Cores are left unused",
    "fp16_without_tensor_cores": "the model computes in 16 bits on a card that is not made for it",
    "throttled": "heat or a power limit holds the clocks down",
    "pcie_degraded": "the link between host and GPU is slower than it could be",
    "gpu_shared": "another program uses the GPU",
    "gpu_memory_tight": "the GPU's memory is nearly full",
    "collective_bound": "exchanging gradients between devices takes the time",
    "straggler": "one device is slower than the others, which wait for it",
    "not_on_gpu": "the training runs on the processor, not on the GPU",
    "wrong_meter": "the meter shows something else than how busy the GPU is",
    "profiler_perturbed": "the profiler slowed down what it recorded",
    "unattributed": "no rule explains the time",
}
STAGES = {
    "python_feed": "Python makes the batches",
    "slow_map": "the map function is slow",
    "no_prefetch": "batches are not prepared ahead",
    "cold_cache": "the data are read from a disk",
    "shuffle_fill": "the shuffle buffer is filled again",
}


def named(finding: Finding) -> str:
    """Name a cause as a sentence goes on: its plain words, its stage, its id."""
    stage = f", {STAGES.get(finding.stage, finding.stage)}" if finding.stage else ""
    return f"{PLAIN.get(finding.cause, finding.cause)}{stage} (`{finding.cause}`)"
