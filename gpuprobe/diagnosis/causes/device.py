"""Causes in the device and its card: what it computes, and what makes that slow."""

from __future__ import annotations

from typing import Literal

from gpuprobe.advice import compute
from gpuprobe.diagnosis.causes.cause import Cause, InputStage, Part

DeviceId = Literal[
    "compute_bound",
    "tensor_cores_unused",
    "fp16_without_tensor_cores",
    "gpu_memory_tight",
    "throttled",
    "pcie_degraded",
    "gpu_shared",
    "not_on_gpu",
]
DEVICE: tuple[Cause[DeviceId], ...] = (
    Cause(
        id="compute_bound",
        words="the device itself is the limit, which is the healthy case",
        signature="Kernels fill the time from the first to the last event of the GPU.",
        fix="Feeding it faster gains little. Make the work cheaper: mixed precision where the card has Tensor Cores, "
        "XLA to fuse kernels, or a faster card.",
        mistaken_for="what makes each kernel long: throttled, gpu_shared, batch_too_small, tensor_cores_unused; a busy "
        "meter alone proves nothing (wrong_meter)",
        devices=("gpu", "cpu"),
        thresholds=("compute_fraction", "compute_of_step", "compute_margin", "cpu_busy_share", "cpu_idle_share"),
        signals=(
            "kernel_fraction",
            "share.gpu_compute",
            "share.cpu_compute",
            "input_share",
            "utilization_percent",
            "operation_share",
            "dense_update_share",
        ),
        family="device",
        # Kernels that fill the GPU are no healthy case where something makes each of them longer than it need be.
        roots=(
            "not_on_gpu",
            "fp16_without_tensor_cores",
            "gpu_shared",
            "throttled",
            # The slowest device computes all the time, and the others wait for it.
            "straggler",
            "uneven_batch",
            "xla_off_under_distribution",
            "oversubscribed_cores",
            "keras_distribution_ignored",
            "serial_loop",
            "loop_through_time",
            "batch_too_small",
            "tensor_cores_unused",
        ),
        cures=("fp16", "faster_card"),
        decided_by_trace=True,
        advice=compute.compute_bound,
    ),
    Cause(
        id="tensor_cores_unused",
        words="the Tensor Cores are left unused",
        signature="The card has Tensor Cores, operations could use them, and no kernel's name shows that they did.",
        fix="Switch mixed precision on before the model is built, and keep channels multiples of 8.",
        mistaken_for="a model whose kernels are too small to gain by it (batch_too_small, launch_bound)",
        thresholds=("tensor_eligible_fraction", "tensor_used_fraction", "precision_saved"),
        signals=(
            "has_tensor_cores",
            "eligible_time_fraction",
            "tensor_core_time_fraction",
            "share.gpu_compute",
            "compute_dtype",
            "gain.mixed_precision",
        ),
        family="device",
        cures=("fp16",),
        weighed=True,
        advice=compute.tensor_cores_unused,
    ),
    Cause(
        id="fp16_without_tensor_cores",
        words="the model computes in 16 bits on a card that is not made for it",
        signature="The settings say float16 or bfloat16, and the card has no Tensor Cores.",
        fix="Stay with float32 on this card.",
        mistaken_for="nothing known: settings and card decide it",
        signals=("compute_dtype", "has_tensor_cores", "compute_capability", "share.gpu_compute"),
        family="device",
    ),
    Cause(
        id="gpu_memory_tight",
        words="the GPU's memory is nearly full",
        signature="The device idles while its memory is allocated or freed, or its memory fills step by step.",
        fix="Leave the allocator room: a smaller batch, or no other process on the card.",
        mistaken_for="nothing wrong: TensorFlow takes nearly all memory at once, whatever it needs",
        part=Part(
            "share.idle_memory",
            "memory_share",
            "The {device} is idle in {share} of the step ({time}) while the host allocates or frees device memory.",
            ("proof.idle_memory",),
        ),
        thresholds=("memory_full", "memory_jump"),
        signals=("memory_peak_fraction", "memory_jump_fraction"),
        cures=("allocations_removed",),
        condition=True,
    ),
    Cause(
        id="throttled",
        words="heat or a power limit holds the clocks down",
        signature="NVML gives heat or power as the reason, and the clocks run below what the card can.",
        fix="Clean the fans and free the air flow, or raise the power limit where the card allows it.",
        mistaken_for="a card at its power limit and near its full clock, which is normal",
        thresholds=("throttled_fraction", "clocks_down"),
        signals=(
            "throttled_heat_fraction",
            "power_cap_fraction",
            "sm_clock_mhz",
            "sm_clock_peak_mhz",
            "boost_mhz",
        ),
        family="device",
    ),
    Cause(
        id="pcie_degraded",
        words="the link between host and GPU is slower than it could be",
        signature="The link never reached the generation or width that card and slot allow while the GPU worked.",
        fix="Reseat the card, use the slot next to the processor, or raise the slot's speed in the firmware.",
        mistaken_for="an idle card, which slows its link down on purpose",
        thresholds=("pcie_part", "pcie_share", "at_rest"),
        signals=("pcie_generation_fraction", "pcie_width_fraction", "share.copy"),
        cures=("copies_hidden", "uint8_feed"),
    ),
    Cause(
        id="gpu_shared",
        words="another program uses the GPU",
        signature="NVML lists other processes on the GPU, or time in which they computed.",
        fix="Move them to another GPU, or train when they are done; nvidia-smi lists them.",
        mistaken_for="a desktop that only has the GPU open, which costs little",
        thresholds=("shared_fraction",),
        signals=("other_sm_percent", "other_gpu_processes"),
    ),
    Cause(
        id="not_on_gpu",
        words="the training runs on the processor, not on the GPU",
        signature="The driver sees an idle GPU while the training computes.",
        fix="`gpuprobe doctor` says whether the framework sees the GPU, and if not, why and what to install.",
        mistaken_for="a GPU that waits for its input from start to end",
        devices=("gpu", "cpu"),
        thresholds=("at_rest", "context_mib", "reserved_mib", "at_work_cores"),
        signals=("utilization_p95_percent", "memory_peak_mib", "cpu_cores", "device_is_gpu"),
        # Nothing of the GPU's step is left once the work is there.
        symptoms=("input_bound", "launch_bound", "copy_bound", "host_between_steps", "batch_too_small"),
    ),
)
STAGES = {
    "dense_update": InputStage(
        "the optimizer goes through all rows of a weight for the few that a batch used",
        ("rows_updated_only",),
        "compute_bound",
    ),
}
