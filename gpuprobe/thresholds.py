"""The numbers that decide, with their sources; a TOML file of the user's may replace any of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, get_type_hints

import msgspec
from msgspec import Meta

from gpuprobe.errors import InputError
from gpuprobe.records import Record

if TYPE_CHECKING:
    from pathlib import Path

# A percentage is no share: 15 for 0.15 would silence a rule without a word.
Share = Annotated[float, Meta(ge=0, le=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]


class Thresholds(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every threshold of the rules, with its source. Shares and fractions are 0 to 1, shares of the step's time."""

    compute_fraction: Annotated[
        Share,
        Meta(
            description="From this share of the time on, kernels (or the processor's cores) make the device itself "
            "the limit; MLPerf Storage asks for 0.90."
        ),
    ] = 0.8
    compute_margin: Annotated[
        Share,
        Meta(
            description="Within this of compute_fraction the verdict would turn with the next step: both causes are "
            "told."
        ),
    ] = 0.02
    compute_of_step: Annotated[
        Share,
        Meta(
            description="The span of kernels leaves out a wait before the first: less of the step than this is no "
            "full GPU."
        ),
    ] = 0.5
    cpu_idle_share: Annotated[
        Share,
        Meta(description="Without a GPU: waiting for this much of the step, the processor is not the limit."),
    ] = 0.2
    cpu_busy_share: Annotated[
        Share,
        Meta(description="Without a GPU: the processor is the limit where it is seen at work for so much of the step."),
    ] = 0.5
    overhead_share: Annotated[
        Share,
        Meta(description="Without a GPU: more than half of the step for starting operations, and less for doing them."),
    ] = 0.5
    tie_points: Annotated[Share, Meta(description="Two causes nearer than this tie.")] = 0.1
    unattributed_share: Annotated[
        Share,
        Meta(description="With this much of the step unexplained, the largest known part may not be the largest."),
    ] = 0.2
    root_share: Annotated[
        Share,
        Meta(description="A cause behind the one that shows is no more than a note where it costs less of the step."),
    ] = 0.1
    input_share: Annotated[
        Share,
        Meta(
            description="XProf: a step is moderately input-bound from 5 % on (op_stats_to_input_pipeline_analysis.cc)."
        ),
    ] = 0.05
    launch_share: Annotated[
        Share,
        Meta(
            description="XProf warns of kernel launches strongly from 15 % on; a change that removes them gains as "
            "much."
        ),
    ] = 0.15
    host_work_share: Annotated[
        Share,
        Meta(description="As for copies: so much of the step for what the host does itself while the device idles."),
    ] = 0.1
    one_time_share: Annotated[
        Share,
        Meta(description="As for copies: so much of the traced steps for what is done once says little of a training."),
    ] = 0.1
    recurrent_share: Annotated[
        Share,
        Meta(description="As for launches: so much of the step in a loop that cuDNN runs in a few kernels."),
    ] = 0.15
    between_steps_share: Annotated[Share, Meta(description="XProf warns of 'All Others' strongly from 15 % on.")] = 0.15
    copy_share: Annotated[
        Share,
        Meta(description="As for collectives: so much of the step for copies that no kernel hides."),
    ] = 0.1
    collective_share: Annotated[
        Share,
        Meta(description="Kineto's tb_plugin advises on communication from 10 % of the step on."),
    ] = 0.1
    sync_share: Annotated[
        Share,
        Meta(description="As for the input: XProf's least share for a wait of the host."),
    ] = 0.05
    compile_share: Annotated[
        Share,
        Meta(description="As for the input; after warm-up nothing should compile at all."),
    ] = 0.05
    memory_share: Annotated[
        Share,
        Meta(description="As for the input: waiting for the allocator of the device's memory."),
    ] = 0.05
    loop_share: Annotated[
        Share,
        Meta(description="Chosen here: a loop over samples that takes a fifth of the step is worth writing without."),
    ] = 0.2
    loop_turns: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: of a loop of fewer turns little is left to win by running them at once."),
    ] = 8.0
    eager_share: Annotated[Share, Meta(description="XProf: eager operations above 10 % of the step.")] = 0.1
    graphs_built: Annotated[AtLeastZero, Meta(description="A graph built in a steady step is one too many.")] = 1.0
    straggler_ratio: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a tenth more work than the others is beyond the noise of kernels of one model."),
    ] = 1.1
    kept_waiting_share: Annotated[
        Share,
        Meta(description="As for the input: so much of the step that the other devices wait for one."),
    ] = 0.05
    tensor_eligible_fraction: Annotated[
        Share,
        Meta(description="Chosen here: below a tenth of the kernels' time there is little to win from Tensor Cores."),
    ] = 0.1
    tensor_used_fraction: Annotated[
        Share,
        Meta(
            description="Kineto's tb_plugin warns where no kernel uses Tensor Cores; a hundredth is one stray kernel."
        ),
    ] = 0.01
    sm_filled: Annotated[
        Share,
        Meta(description="DCGM's guide: an SM activity of 0.8 is needed, below 0.5 a GPU is used ineffectively."),
    ] = 0.8
    meters_apart: Annotated[
        Share,
        Meta(description="Chosen here: meters that differ by less than twenty points tell the same story."),
    ] = 0.2
    profiler_slowdown: Annotated[AtLeastZero, Meta(description="pyperf calls a tenth unstable.")] = 1.1
    pace_apart: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: where a timed step takes half as much again as a traced one, a third of it is "
            "not in the trace."
        ),
    ] = 1.5
    traced_apart: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: of a step that takes twice as long traced, half is not the training's own."),
    ] = 2.0
    batch_saved: Annotated[
        Share,
        Meta(
            description="Chosen here: kernels that fill the card take as long as the batch is large; to save this "
            "much they did not."
        ),
    ] = 0.2
    precision_saved: Annotated[
        Share,
        Meta(description="Chosen here: less than this from 16-bit arithmetic is not what Tensor Cores are for."),
    ] = 0.1
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
        Meta(description="Chosen here: more than half of a run before its first step."),
    ] = 0.5
    startup_s: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: importing and building take some ten seconds; a minute is loading or making data."
        ),
    ] = 60.0
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
        Meta(
            description="Chosen here: a fifth of a run for what calls of `fit` and `predict` cost beside their steps."
        ),
    ] = 0.2


DEFAULTS = Thresholds()


def read(path: Path) -> Thresholds:
    """Read the user's thresholds, `name = number` a line; what the file leaves out stays as it is.

    Raises InputError for a file that is no TOML, an unknown name (with a suggestion), or a value that is no number.
    """
    try:
        given = msgspec.toml.decode(path.read_bytes())
        near = _unknown(given)
        if near is not None:
            raise InputError(f"{path}: {near}")
        return msgspec.convert(given, Thresholds)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no thresholds ({error})") from error


def listing() -> str:
    """Return all thresholds as a file that `read` takes, each below what it means and where it comes from."""
    return "\n".join(f"# {source(name)}\n{name} = {getattr(DEFAULTS, name)}" for name in Thresholds.__struct_fields__)


def source(name: str) -> str:
    """Return what a threshold means and where it comes from."""
    return str(get_type_hints(Thresholds, include_extras=True)[name].__metadata__[-1].description)


def _unknown(given: dict[str, object]) -> str | None:
    known = Thresholds.__struct_fields__
    name = next((name for name in given if name not in known), None)
    if name is None:
        return None
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else "gpuprobe diagnose --list-thresholds names all"
    return f"no threshold is called {name!r}; {hint}"
