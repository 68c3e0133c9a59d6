"""Every threshold of the rules; those of a traced step come first, and these decide on readings and whole runs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gpuprobe.thresholds.kinds import AtLeastZero, Share
from gpuprobe.thresholds.step import StepThresholds


class Thresholds(StepThresholds, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every threshold of the rules, with its source. Shares and fractions are 0 to 1, shares of the step's time."""

    at_rest: Annotated[
        Share,
        Meta(
            description="SageMaker Debugger: a GPU below 10 % idles, and one whose 5th percentile is below it "
            "fluctuates."
        ),
    ] = 0.1
    underused: Annotated[
        Share,
        Meta(
            description="SageMaker Debugger, LowGPUUtilization and BatchSize: a 95th percentile below 70 % leaves room."
        ),
    ] = 0.7
    mostly: Annotated[
        Share,
        Meta(description="SageMaker Debugger, CPUBottleneck and IOBottleneck: more than half of the time."),
    ] = 0.5
    thread_pinned: Annotated[
        Share,
        Meta(
            description="A Python thread that holds the interpreter's lock has no more than one core; waiting takes "
            "the rest."
        ),
    ] = 0.9
    at_work_cores: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: less than this of one core is what waiting costs."),
    ] = 0.5
    machine_full: Annotated[
        Share,
        Meta(description="Chosen here: a machine that has less than a tenth of its processors left is full."),
    ] = 0.9
    wanted_cores: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a command that wants a core gets this much of one even on a full machine."),
    ] = 0.1
    context_mib: Annotated[
        AtLeastZero,
        Meta(description="A CUDA context alone takes more than this of a card's memory."),
    ] = 64.0
    reserved_mib: Annotated[
        AtLeastZero,
        Meta(description="The driver itself reserves some hundreds of MiB of a card's memory; this is more."),
    ] = 1024.0
    memory_full: Annotated[Share, Meta(description="Kineto's profiler warns above 90 % of the card's memory.")] = 0.9
    memory_jump: Annotated[
        Share,
        Meta(
            description="TensorFlow's allocator takes nearly all memory in one step, which says nothing about the need."
        ),
    ] = 0.5
    throttled_fraction: Annotated[
        Share,
        Meta(description="Chosen here: clocks held down for less than a tenth of the time cost at most some percent."),
    ] = 0.1
    clocks_down: Annotated[
        Share,
        Meta(description="Chosen here: clocks less than 15 % down cost at most some percent."),
    ] = 0.15
    shared_fraction: Annotated[
        Share,
        Meta(description="Chosen here: another program that computes for a tenth of the time."),
    ] = 0.1
    pcie_part: Annotated[
        Share,
        Meta(description="Chosen here: a link at one generation or half the lanes less than could be."),
    ] = 0.75
    pcie_share: Annotated[
        Share,
        Meta(description="Chosen here: a twentieth of the step lost by the slower link."),
    ] = 0.05
    phase_points: Annotated[
        Share,
        Meta(description="Chosen here: levels of a GPU's utilization that differ by less are one phase."),
    ] = 0.2
    phase_cells: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: of fewer readings a second or more apart no level is known."),
    ] = 12.0
    phase_s: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: another level for less than half a minute is no phase of its own."),
    ] = 30.0
    phase_deviations: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: standard errors by which two phases differ; of 400 steady series of noise less "
            "than one shows 5."
        ),
    ] = 5.0
    start_up_deviations: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: starting up comes before every training, so that less proof of it is enough."),
    ] = 3.5
    start_up_level: Annotated[
        Share,
        Meta(description="Chosen here: a phase before or after the work that is idle but for moments."),
    ] = 0.2
    pause_s: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a wait of a minute, with as much work around it, is no wait of a step."),
    ] = 60.0
    pause_readings: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: of so many idle readings in a row none is there by chance."),
    ] = 8.0
    pauses_few: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: more pauses than these are how the training works, unless they are short."),
    ] = 3.0
    pause_share: Annotated[
        Share,
        Meta(description="Chosen here: pauses that take less than a fifth of the work's time are none of it."),
    ] = 0.2
    waits_share: Annotated[
        Share,
        Meta(description="Chosen here: a GPU that idles for a twentieth of the time waits now and then."),
    ] = 0.05
    waits_most: Annotated[
        Share,
        Meta(description="Chosen here: a GPU that idles for more than a third of the time works in bursts."),
    ] = 0.33
    sm_low: Annotated[
        Share,
        Meta(description="DCGM, SM activity: a value below 0.5 likely indicates ineffective use of the GPU."),
    ] = 0.5

    epoch_start_share: Annotated[
        Share,
        Meta(description="As for what lies between steps: so much of a training for what lies between its epochs."),
    ] = 0.15
    short_epoch: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: an epoch of fewer calls is over before its input flows."),
    ] = 10.0
    loop_input_share: Annotated[
        Share,
        Meta(description="As for what lies between steps: so much of a loop of one's own for batches of tf.data."),
    ] = 0.15
    validation_share: Annotated[
        Share,
        Meta(
            description="Chosen here: a pass forward costs a third of a step, so that a validation set of a fifth of "
            "the data takes less than a tenth; twice that is more than it has to be."
        ),
    ] = 0.2
    checkpoint_share: Annotated[
        Share,
        Meta(description="Chosen here: a tenth of a training for saving it is more than a rare loss is worth."),
    ] = 0.1
    callback_share: Annotated[
        Share,
        Meta(description="Chosen here: a tenth of a training in callbacks is no bookkeeping any more."),
    ] = 0.1
    startup_share: Annotated[
        Share,
        Meta(description="As for what lies between steps: so much of a run before its first training."),
    ] = 0.15
    startup_s: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: importing TensorFlow and building take five to ten seconds on two busy cores; "
            "twice that is loading or making data."
        ),
    ] = 20.0
    compiled_again_share: Annotated[
        Share,
        Meta(description="Chosen here: a tenth of a run for compiling what was compiled before."),
    ] = 0.1
    compiled_again: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a second function is what a GAN has; two more are a habit."),
    ] = 2.0
    many_calls: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: `fit` or `predict` called so often is called in a loop."),
    ] = 10.0
    many_calls_share: Annotated[
        Share,
        Meta(description="Chosen here: a fifth of a run, for what calls of `fit` and `predict` cost besides steps."),
    ] = 0.2
