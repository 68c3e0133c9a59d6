"""Causes in how the data reach the device."""

from __future__ import annotations

from typing import Literal

from gpuprobe.advice import copies, feeding, others
from gpuprobe.diagnosis.causes.cause import BOTH, Cause, InputStage, Part

FeedingId = Literal[
    "input_bound",
    "copy_bound",
]
FEEDING: tuple[Cause[FeedingId], ...] = (
    Cause(
        id="input_bound",
        words="the next batch comes too late",
        signature="The device idles while the training waits in the iterator's next call.",
        fix="Make the input pipeline faster: parallel map, cache() after it, prefetch at the end.",
        mistaken_for="host_between_steps, where Python makes the batch outside the training function; launch_bound, "
        "where one Python thread both feeds and launches",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_input",
            "input_share",
            "The {device} waits for the next batch in {share} of the step ({time}).",
            ("slowest_iterator", "proof.idle_input"),
            BOTH,
        ),
        thresholds=("mostly", "thread_pinned"),
        signals=("input_share", "busiest_thread_fraction", "cpu_full_gpu_idle_fraction", "iowait_gpu_idle_fraction"),
        roots=("autoshard_files",),
        cures=("input_free",),
        decided_by_trace=True,
        advice=feeding.input_bound,
        elsewhere=others.INPUT_BOUND,
    ),
    Cause(
        id="copy_bound",
        words="copies take the time",
        signature="Copies run while no kernel does.",
        fix="Copy less and earlier. Batches: feed uint8 and cast on the device, prefetch to the device, or keep the "
        "data there. Results: read fewer, and less often. On the GPU itself: avoid operations that only move data.",
        mistaken_for="pcie_degraded, where a slow link makes ordinary copies long; input_bound, where the batch itself "
        "is late, not its copy",
        part=Part(
            "share.copy",
            "copy_share",
            "Copies that no kernel hides take {share} of the step ({time}).",
            (
                "share.gpu_copy_h2d",
                "share.gpu_copy_d2h",
                "share.gpu_copy_d2d",
                "exposed_copy_fraction",
                "copy_h2d_gb_per_s",
            ),
        ),
        roots=("pcie_degraded",),
        root_is_most=True,
        cures=("copies_hidden", "uint8_feed"),
        decided_by_trace=True,
        advice=copies.copy_bound,
        elsewhere=others.COPY_BOUND,
    ),
)
STAGES = {
    "to_gpu": InputStage("the longest go from the host to the GPU", ("copies_hidden", "uint8_feed"), "copy_bound"),
    "to_host": InputStage("the longest go from the GPU to the host", (), "copy_bound", others.READING_BACK),
    "on_gpu": InputStage("the longest stay on the GPU, clearing memory too", (), "copy_bound", others.COPIES_ON_GPU),
    "python_feed": InputStage("Python makes the batches", ("input_free",)),
    "slow_map": InputStage("the map function is slow", ("parallel_map", "input_free")),
    "no_prefetch": InputStage("batches are not prepared ahead", ("prefetch", "input_free")),
    "cold_cache": InputStage("the data are read from a disk", ("input_free",)),
    "shuffle_fill": InputStage("the shuffle buffer is filled again", ("input_free",)),
}
