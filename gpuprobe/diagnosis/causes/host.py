"""Causes in what the host does while the device waits."""

from __future__ import annotations

from typing import Literal

from gpuprobe.advice import between, compute, host_work, others
from gpuprobe.diagnosis.causes.cause import BOTH, Cause, InputStage, Part

HostId = Literal[
    "sync_every_step",
    "host_between_steps",
    "host_work",
    "one_time_work",
    "recompiling",
    "spinning_threads",
]
HOST: tuple[Cause[HostId], ...] = (
    Cause(
        id="sync_every_step",
        words="the host stops to read results in every step",
        signature="The device idles while the host is inside a synchronising call or reads a result back.",
        fix="Read losses and metrics on the host once in many steps, not in each.",
        mistaken_for="host_between_steps: time after the call has returned does not count as sync",
        part=Part(
            "share.idle_sync",
            "sync_share",
            "The {device} is idle in {share} of the step ({time}) while the host waits inside a synchronising call or "
            "reads a result back.",
            ("proof.idle_sync",),
        ),
        family="host",
        # A sync drains the queue, so that the launches after it come late.
        symptoms=("launch_bound", "batch_too_small"),
        cures=("syncs_removed",),
        decided_by_trace=True,
        advice=between.sync_every_step,
        elsewhere=others.SYNC_EVERY_STEP,
    ),
    Cause(
        id="host_between_steps",
        words="Python is busy between the steps",
        signature="The device idles while the host is outside the training function.",
        fix="Do less between steps: fewer callbacks and summaries per batch, verbose=2, several steps per execution.",
        mistaken_for="input_bound, where a loop of your own makes batches in Python; compute_bound, where the host "
        "outside the function only waits for the result",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_between_steps",
            "between_steps_share",
            "The {device} is idle in {share} of the step ({time}) while the host is outside the training function: "
            "callbacks, metrics, logging, Python.",
            ("idle_outside_step_fraction", "proof.idle_between_steps"),
            BOTH,
        ),
        signals=("outside_fraction", "other_calls_share", "other_functions", "passes_per_step"),
        family="host",
        roots=("eager_or_retracing",),
        root_is_most=True,
        # The results that a callback reads are what the host waits for.
        symptoms=("sync_every_step",),
        cures=("callbacks_removed", "steps_per_execution"),
        decided_by_trace=True,
        advice=between.host_between_steps,
        elsewhere=others.HOST_BETWEEN_STEPS,
    ),
    Cause(
        id="host_work",
        words="the host does work of its own while the device waits",
        signature="The device idles while the launching thread is inside one operation, call or frame that launches "
        "nothing, for long compared with its usual pace of launching; on a processor the step itself calls Python "
        "or prepares samples, and does nothing else.",
        fix="Take the work out of the step: into the input pipeline, onto the device, or onto another thread.",
        mistaken_for="launch_bound, which shows as many short gaps and which fewer launches cure, unlike this; "
        "one_time_work, where the work does not come again",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_host_work",
            "host_work_share",
            "For {share} of the step ({time}) the {device} waits while the host does other work and launches nothing.",
            ("proof.idle_host_work", "held_kind", "held_stretches", "held_steps"),
            BOTH,
        ),
        family="host",
        cures=("host_work_removed",),
        decided_by_trace=True,
        advice=host_work.host_work,
        elsewhere=host_work.HOST_WORK,
    ),
    Cause(
        id="one_time_work",
        words="the trace shows one-time work",
        signature="The device idles while kernels' code is loaded, kernels are tried or compiled, or an operation "
        "takes long that is short in the other steps.",
        fix="Trace later, when this work is done: the steps after it show what the training costs.",
        mistaken_for="recompiling, where it is done again and again; launch_bound; host_work",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_once",
            "one_time_share",
            "The {device} is idle in {share} of the step ({time}) while the host does one-time work: this trace says "
            "little about the steps after it.",
            ("proof.idle_once", "once_proven_fraction"),
            BOTH,
        ),
        cures=("one_time_work_removed",),
        decided_by_trace=True,
        advice=host_work.one_time_work,
        elsewhere=host_work.ONE_TIME_WORK,
    ),
    Cause(
        id="recompiling",
        words="the step is compiled again and again",
        signature="The device idles while the host builds graphs or compiles, after warm-up.",
        fix="Let every step have the same shapes and types: drop_remainder=True, tensors instead of Python numbers.",
        mistaken_for="a short warm-up: the first calls of any training compile; eager_or_retracing",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_compile",
            "compile_share",
            "The {device} is idle in {share} of the step ({time}) while the host builds graphs or compiles.",
            ("graphs_built", "compile_ms", "proof.idle_compile"),
            BOTH,
        ),
        roots=("eager_or_retracing",),
        root_is_most=True,
        symptoms=("launch_bound", "host_between_steps"),
        cures=("compiling_removed",),
        advice=compute.recompiling,
        elsewhere=others.RECOMPILING,
    ),
    Cause(
        id="spinning_threads",
        words="threads spin while they wait for each other, and keep the cores from those that they wait for",
        signature="Threads of PyTorch on a processor spin where they wait (GNU's OpenMP does for 3 ms unless told "
        "otherwise), and the thread that trains is ready without a core for long, but hardly ever gives its own up.",
        fix="Start Python with GOMP_SPINCOUNT=1000 or OMP_WAIT_POLICY=passive. Else end the other programs, or give "
        "torch.set_num_threads the number of cores that are free.",
        mistaken_for="compute_bound: each operation lasts long, but most of that is waiting",
        devices=("cpu",),
        thresholds=("core_waited", "spinner_sleeps_per_s", "wanted_cores"),
        signals=(
            "threads_spin",
            "core_waited_fraction",
            "core_sleeps_per_s",
            "other_threads_cores",
            "other_cpu_cores",
        ),
        # With free cores operations are shorter, and so is what lies between them.
        symptoms=("batch_too_small", "eager_or_retracing"),
    ),
)
STAGES = {
    "other_functions": InputStage(
        "other functions run between the steps, as predict and evaluate call them",
        ("callbacks_removed",),
        "host_between_steps",
    ),
}
