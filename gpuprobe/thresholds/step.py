"""The thresholds that decide on a traced step and on differential runs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gpuprobe.records import Record
from gpuprobe.thresholds.kinds import AtLeastZero, Share


class StepThresholds(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides on the parts of a traced step, its kernels, and what runs gained."""

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
    beside_full_share: Annotated[
        Share,
        Meta(description="As for the input: beside a full device so much for another cause leaves open what matters."),
    ] = 0.05
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
    spread_share: Annotated[
        Share,
        Meta(description="As for the input: so much of the step lost by how the work is spread over several devices."),
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
