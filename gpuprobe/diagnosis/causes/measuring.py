"""Causes in the measuring itself, and the name for what nothing explains."""

from __future__ import annotations

from typing import Literal

from gpuprobe.diagnosis.causes.cause import Cause

MeasuringId = Literal[
    "wrong_meter",
    "profiler_perturbed",
    "unattributed",
]
MEASURING: tuple[Cause[MeasuringId], ...] = (
    Cause(
        id="wrong_meter",
        words="the meter does not show how busy the GPU is",
        signature="NVML's utilization is far above the share of the time in which kernels run, or of the SMs that they "
        "fill.",
        fix="Judge by the time a step takes, and by the kernels' share of it.",
        mistaken_for="compute_bound, if you look at the meter alone",
        thresholds=("meters_apart",),
        signals=("utilization_percent", "kernel_fraction", "sm_efficiency", "mfu"),
        condition=True,
    ),
    Cause(
        id="profiler_perturbed",
        words="the profiler slowed the steps that it recorded",
        signature="Traced steps take longer than timed ones.",
        fix="Trust the differential runs and the rates, which were measured without the profiler.",
        mistaken_for="launch_bound and host_between_steps, whose shares it makes larger",
        devices=("gpu", "cpu"),
        thresholds=("profiler_slowdown",),
        signals=("profiler_slowdown",),
        condition=True,
    ),
    Cause(
        id="unattributed",
        words="no rule explains the time",
        signature="No cause takes more of the step than the unexplained time, or there is no evidence of a step.",
        fix="Trace a few steady steps: `gpuprobe watch --trace` traces a Keras script without changing it, the Probe "
        "callback from within the script.",
        mistaken_for="any cause: it names none",
        devices=("gpu", "cpu"),
        thresholds=("unattributed_share", "root_share", "tie_points"),
        signals=("share.unattributed",),
        condition=True,
    ),
)
