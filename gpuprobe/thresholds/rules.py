"""The thresholds that decide on readings and on whole runs; those of a traced step are in `step.py`."""

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
            description="SageMaker Debugger: a GPU below 10 % idles; if only its 5th percentile is below, it "
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
            description="Chosen here: a Python thread cannot use more than one core, and a thread this busy hardly "
            "waits."
        ),
    ] = 0.9
    at_work_cores: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a command that uses less than this only waits."),
    ] = 0.5
    machine_full: Annotated[
        Share,
        Meta(description="Chosen here: a machine with less than a tenth of its processors free is full."),
    ] = 0.9
    wanted_cores: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: even on a full machine a command that computes gets this much of a core."),
    ] = 0.1
    core_waited: Annotated[
        Share,
        Meta(
            description="Chosen here: a thread that is ready without a core for a fifth of the time is held up by "
            "others; 0.4 to 0.7 where threads outnumbered two cores."
        ),
    ] = 0.2
    spinner_sleeps_per_s: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: a thread that waits for others and gives its core up less often than this spins. "
            "Measured on small convolutions: 1 to 3 a second where threads spin, 650 to 730 where they do not."
        ),
    ] = 30.0
    context_mib: Annotated[
        AtLeastZero,
        Meta(description="A CUDA context alone takes more memory than this."),
    ] = 64.0
    reserved_mib: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: more than the some hundreds of MiB that the driver itself reserves on a card."),
    ] = 1024.0
    memory_full: Annotated[Share, Meta(description="Kineto's profiler warns above 90 % of the card's memory.")] = 0.9
    memory_jump: Annotated[
        Share,
        Meta(
            description="TensorFlow's allocator takes nearly all memory at once: such a jump says nothing about the "
            "need."
        ),
    ] = 0.5
    throttled_fraction: Annotated[
        Share,
        Meta(description="Chosen here: throttling for less than a tenth of the time costs some percent at most."),
    ] = 0.1
    clocks_down: Annotated[
        Share,
        Meta(description="Chosen here: clocks that are down by less than 15 % cost some percent at most."),
    ] = 0.15
    shared_fraction: Annotated[
        Share,
        Meta(description="Chosen here: another program that computes for a tenth of the time shares the GPU."),
    ] = 0.1
    pcie_part: Annotated[
        Share,
        Meta(description="Chosen here: a link one PCIe generation, or half of the lanes, below its maximum is slow."),
    ] = 0.75
    pcie_share: Annotated[
        Share,
        Meta(description="Chosen here: the slower link costs a twentieth of the step."),
    ] = 0.05
    phase_points: Annotated[
        Share,
        Meta(description="Chosen here: two levels of GPU utilization that differ by less are one phase."),
    ] = 0.2
    phase_cells: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: fewer readings than this, each of a second or more, show no level."),
    ] = 12.0
    phase_s: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a level that lasts for less than half a minute is not a phase."),
    ] = 30.0
    phase_deviations: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: two phases differ by this many standard errors; less than one of 400 steady "
            "series of noise shows 5."
        ),
    ] = 5.0
    start_up_deviations: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: every training starts up, so fewer standard errors are enough for that phase."),
    ] = 3.5
    start_up_level: Annotated[
        Share,
        Meta(
            description="Chosen here: a phase below this utilization, before or after the work, does not belong to it."
        ),
    ] = 0.2
    pause_s: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: an idle minute between two longer stretches of work is a pause, not a wait of "
            "a step."
        ),
    ] = 60.0
    pause_readings: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: this many idle readings in a row are not chance."),
    ] = 8.0
    pauses_few: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: more pauses than this belong to how the training works, unless they are short."),
    ] = 3.0
    pause_share: Annotated[
        Share,
        Meta(description="Chosen here: pauses that take at most a fifth of the work's time together do not end it."),
    ] = 0.2
    waits_share: Annotated[
        Share,
        Meta(description="Chosen here: a busy GPU that idles for a twentieth of the time waits now and then."),
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
        Meta(description="As for between_steps_share: time between the epochs, of a training."),
    ] = 0.15
    short_epoch: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: an epoch of fewer calls ends before its input pipeline is at full speed."),
    ] = 10.0
    loop_input_share: Annotated[
        Share,
        Meta(description="As for between_steps_share: a loop in the script that waits for batches of tf.data."),
    ] = 0.15
    validation_share: Annotated[
        Share,
        Meta(
            description="Chosen here: a forward pass costs a third of a step, so validating on a fifth of the data "
            "takes less than a tenth of the training. This is twice as much."
        ),
    ] = 0.2
    checkpoint_share: Annotated[
        Share,
        Meta(
            description="Chosen here: saving is a protection against rare crashes; a tenth of the training is too "
            "much for it."
        ),
    ] = 0.1
    callback_share: Annotated[
        Share,
        Meta(description="Chosen here: callbacks that take a tenth of a training do more than bookkeeping."),
    ] = 0.1
    startup_share: Annotated[
        Share,
        Meta(description="As for between_steps_share: time before the first training of a run."),
    ] = 0.15
    startup_s: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: importing TensorFlow and building take five to ten seconds on two busy cores; "
            "a start that takes twice as long is loading or making data."
        ),
    ] = 20.0
    compiled_again_share: Annotated[
        Share,
        Meta(description="Chosen here: a tenth of a run goes into compiling again what was compiled before."),
    ] = 0.1
    compiled_again: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a GAN compiles a second function; two more than the first are a pattern."),
    ] = 2.0
    between_trainings_share: Annotated[
        Share,
        Meta(description="As for many_calls_share: the script's own work between its trainings."),
    ] = 0.2
    between_trainings: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: what a script does once between two trainings is no habit, twice may be one."),
    ] = 2.0
    many_calls: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: `fit` or `predict` called this many times is called in a loop."),
    ] = 10.0
    many_calls_share: Annotated[
        Share,
        Meta(
            description="Chosen here: a fifth of a run goes into what calls of `fit` and `predict` cost beside their "
            "steps."
        ),
    ] = 0.2
