"""Causes in how the host starts the work of a step."""

from __future__ import annotations

from typing import Literal

from gpuprobe.advice import compute, host_work, loops, others
from gpuprobe.diagnosis.causes.cause import Cause, InputStage, Part

LaunchingId = Literal[
    "launch_bound",
    "rnn_without_cudnn",
    "eager_or_retracing",
    "batch_too_small",
    "serial_loop",
    "loop_through_time",
]
LAUNCHING: tuple[Cause[LaunchingId], ...] = (
    Cause(
        id="launch_bound",
        words="the host starts the kernels more slowly than the GPU runs them",
        signature="Many short kernels with gaps of the same length between them, at the pace of the launching thread.",
        fix="Launch less for the same work: compile with XLA, a larger batch, several steps per execution.",
        mistaken_for="eager_or_retracing and batch_too_small, which also show as late launches; sync_every_step, which "
        "delays the launches after it; host_work and one_time_work, during which nothing is launched for long",
        part=Part(
            "share.launch",
            "launch_share",
            "The {device} waits in {share} of the step ({time}) for kernels that the host has not launched yet, or "
            "that are launched and not started.",
            (
                "share.idle_launch",
                "share.idle_queue",
                "kernels_per_step",
                "kernel_median_us",
                "kernels_under_10us_count_fraction",
            ),
        ),
        signals=("gain.xla", "gain.steps_per_execution"),
        family="launches",
        roots=(
            "eager_or_retracing",
            "serial_loop",
            "loop_through_time",
            "rnn_without_cudnn",
            "xla_off_under_distribution",
        ),
        root_is_most=True,
        cures=("launches_fused", "batch_times", "steps_per_execution"),
        decided_by_trace=True,
        advice=compute.launch_bound,
        elsewhere=others.LAUNCH_BOUND,
    ),
    Cause(
        id="rnn_without_cudnn",
        words="a recurrent layer runs as a loop of small operations",
        signature="The device waits for launches while the operations of an LSTM or GRU run in its while loop.",
        fix="Let cuDNN run the layer whole: activation tanh, recurrent_activation sigmoid, recurrent_dropout 0, unroll "
        "off, use_bias on, reset_after on for a GRU, and padding only at the end of a sequence.",
        mistaken_for="launch_bound, which is how it shows; loop_through_time, where the loop is another layer's or the "
        "model's own",
        devices=("gpu", "cpu"),
        thresholds=("recurrent_share",),
        signals=("recurrent_share", "recurrent_layer", "recurrent_operations", "recurrent_setting"),
        family="launches",
        advice=host_work.rnn_without_cudnn,
    ),
    Cause(
        id="eager_or_retracing",
        words="Python runs the step operation by operation, or builds its graph again and again",
        signature="Python starts single operations one by one, or graphs are built in steady steps.",
        fix="Compile without run_eagerly, put the step into one tf.function, and give it tensors of one shape.",
        mistaken_for="launch_bound and host_between_steps, which are how it shows on a GPU",
        devices=("gpu", "cpu"),
        # On a GPU a rule of its own finds it; on a processor it is a share of the step.
        part=Part(
            "share.dispatch",
            "overhead_share",
            "In {share} of the step ({time}) Python starts single operations one by one.",
            ("share.dispatch", "run_eagerly", "jit_compile"),
            frozenset({"cpu"}),
        ),
        thresholds=("eager_share", "graphs_built", "compile_share"),
        signals=("graphs_built", "share.idle_compile"),
        family="launches",
        # Where Python dispatches operations or builds graphs, launches are late and Python runs between the steps.
        symptoms=("batch_too_small",),
        cures=("eager_removed", "compiling_removed"),
        weighed=True,
        advice=compute.eager_or_retracing,
        elsewhere=others.EAGER,
    ),
    Cause(
        id="batch_too_small",
        words="the batch is too small to keep the device busy",
        signature="Kernels fill few of the multiprocessors, or a sample costs much less in a larger batch; on a "
        "processor, starting operations takes longer than running them.",
        fix="Train with a larger batch and a learning rate to match, and check that the loss still falls as before.",
        mistaken_for="launch_bound, which a larger batch helps too; eager_or_retracing",
        devices=("gpu", "cpu"),
        part=Part(
            "share.overhead",
            "overhead_share",
            "In {share} of the step ({time}) starting operations takes longer than running them.",
            ("batch_size", "share.cpu_compute"),
            frozenset({"cpu"}),
        ),
        thresholds=("sm_filled", "compute_fraction", "batch_saved", "underused"),
        signals=("kernel_fraction", "sm_efficiency", "share.gpu_compute", "gain.large_batch"),
        family="launches",
        # A larger batch gives such a loop more iterations.
        roots=("serial_loop", "loop_through_time"),
        root_is_most=True,
        cures=("batch_times",),
        weighed=True,
        advice=compute.batch_too_small,
    ),
    Cause(
        id="serial_loop",
        words="a loop in the model takes the samples of a batch one by one",
        signature="The step's graph holds a loop with one iteration for each sample of a batch, or a tf.map_fn.",
        fix="Write the loop's body for the whole batch at once.",
        mistaken_for="compute_bound, launch_bound and batch_too_small, which are how its many small operations show; "
        "loop_through_time, where each iteration needs the one before",
        devices=("gpu", "cpu"),
        thresholds=("loop_share", "loop_turns"),
        signals=("loop", "loop_share", "loop_turns", "loop_maps", "batch_size"),
        family="launches",
        symptoms=("launch_bound", "batch_too_small"),
        cures=("loop_vectorised",),
        weighed=True,
        advice=loops.serial_loop,
    ),
    Cause(
        id="loop_through_time",
        words="a loop in the model goes through time, and each iteration needs the one before",
        signature="The step's graph holds a loop of many iterations that is not over the samples, and each iteration "
        "uses results of the one before.",
        fix="Use a recurrent layer of Keras where one does the same, let XLA fuse the operations of the loop, or make "
        "the loop shorter.",
        mistaken_for="serial_loop, whose iterations could run at once; batch_too_small, launch_bound and "
        "compute_bound, which are how its many small operations show; rnn_without_cudnn, where the loop is that of an "
        "LSTM or GRU",
        devices=("gpu", "cpu"),
        thresholds=("loop_share", "loop_turns"),
        signals=(
            "graph_loop",
            "graph_loop_turns",
            "graph_loop_started",
            "loop",
            "loop_share",
            "loop_turns",
            "loop_recurrent",
        ),
        family="launches",
        symptoms=("launch_bound", "batch_too_small"),
        advice=loops.loop_through_time,
    ),
)
STAGES = {
    "linear": InputStage("an iteration only scales and adds results of the one before", (), "loop_through_time"),
}
