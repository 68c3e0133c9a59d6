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
            description="The device itself is the limit if kernels (or the processor's cores) work for this share of "
            "the time; MLPerf Storage asks for 0.90."
        ),
    ] = 0.8
    compute_margin: Annotated[
        Share,
        Meta(
            description="This near to compute_fraction the next step could change the verdict: both causes are named."
        ),
    ] = 0.02
    compute_of_step: Annotated[
        Share,
        Meta(
            description="The GPU span leaves out a wait before the first kernel: a GPU that computes for less of the "
            "step than this is not full."
        ),
    ] = 0.5
    beside_full_share: Annotated[
        Share,
        Meta(
            description="As for input_share: a full device has no high confidence if another cause takes this much of "
            "the step."
        ),
    ] = 0.05
    cpu_idle_share: Annotated[
        Share,
        Meta(description="Without a GPU: a processor that waits for this share of the step is not the limit."),
    ] = 0.2
    cpu_busy_share: Annotated[
        Share,
        Meta(description="Without a GPU: the processor is the limit if it computes for this share of the step."),
    ] = 0.5
    overhead_share: Annotated[
        Share,
        Meta(
            description="Without a GPU: starting operations costs too much if it takes more than this share of the "
            "step."
        ),
    ] = 0.5
    tie_points: Annotated[
        Share,
        Meta(description="Chosen here: two causes whose shares of the step differ by less than this tie."),
    ] = 0.1
    unattributed_share: Annotated[
        Share,
        Meta(description="If this much of the step is unexplained, the largest known part may not be the largest."),
    ] = 0.2
    root_share: Annotated[
        Share,
        Meta(description="A cause behind the visible one leads only if it costs at least this share of the step."),
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
            description="XProf's strong warning of kernel launches begins at 15 %; a change that removes them must "
            "gain "
            "as much."
        ),
    ] = 0.15
    host_work_share: Annotated[
        Share,
        Meta(description="As for copy_share: the host's own work, in which the device idles."),
    ] = 0.1
    one_time_share: Annotated[
        Share,
        Meta(description="As for copy_share: traced steps with this much one-time work say little about a training."),
    ] = 0.1
    recurrent_share: Annotated[
        Share,
        Meta(description="As for launch_share: a loop that cuDNN would run in a few kernels."),
    ] = 0.15
    between_steps_share: Annotated[
        Share, Meta(description="XProf's strong warning of 'All Others' begins at 15 %.")
    ] = 0.15
    copy_share: Annotated[
        Share,
        Meta(description="As for collective_share: copies that no kernel hides."),
    ] = 0.1
    collective_share: Annotated[
        Share,
        Meta(description="Kineto's tb_plugin advises on communication from 10 % of the step on."),
    ] = 0.1
    sync_share: Annotated[
        Share,
        Meta(description="As for input_share: XProf's smallest share for a wait of the host."),
    ] = 0.05
    compile_share: Annotated[
        Share,
        Meta(description="As for input_share; after warm-up nothing should compile at all."),
    ] = 0.05
    memory_share: Annotated[
        Share,
        Meta(description="As for input_share: waiting for the allocator of the device's memory."),
    ] = 0.05
    loop_share: Annotated[
        Share,
        Meta(description="Chosen here: a loop in the model that takes a fifth of the step is worth changing."),
    ] = 0.2
    loop_turns: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a loop of fewer iterations than this costs little to start."),
    ] = 8.0
    eager_share: Annotated[Share, Meta(description="XProf: eager operations above 10 % of the step.")] = 0.1
    graphs_built: Annotated[AtLeastZero, Meta(description="A steady step should build no graph.")] = 1.0
    straggler_ratio: Annotated[
        AtLeastZero,
        Meta(description="Chosen here: a tenth more work than the others is more than the noise of the same kernels."),
    ] = 1.1
    kept_waiting_share: Annotated[
        Share,
        Meta(description="As for input_share: the other devices wait for one."),
    ] = 0.05
    spread_share: Annotated[
        Share,
        Meta(description="As for input_share: time lost by the way the work is spread over several devices."),
    ] = 0.05
    tensor_eligible_fraction: Annotated[
        Share,
        Meta(
            description="Chosen here: Tensor Cores gain little if less than a tenth of the kernels' time could use "
            "them."
        ),
    ] = 0.1
    tensor_used_fraction: Annotated[
        Share,
        Meta(
            description="Kineto's tb_plugin warns if no kernel uses Tensor Cores; a hundredth of the time is one stray "
            "kernel."
        ),
    ] = 0.01
    sm_filled: Annotated[
        Share,
        Meta(
            description="DCGM's guide: effective use of a GPU needs an SM activity of 0.8; below 0.5 it is ineffective."
        ),
    ] = 0.8
    meters_apart: Annotated[
        Share,
        Meta(description="Chosen here: meters that differ by less than twenty points agree."),
    ] = 0.2
    profiler_slowdown: Annotated[AtLeastZero, Meta(description="pyperf calls a spread of a tenth unstable.")] = 1.1
    pace_apart: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: if a timed step takes 1.5 times as long as a traced one, a third of it is not in "
            "the trace."
        ),
    ] = 1.5
    traced_apart: Annotated[
        AtLeastZero,
        Meta(
            description="Chosen here: if a step takes twice as long when traced, half of it is not the training's own."
        ),
    ] = 2.0
    batch_saved: Annotated[
        Share,
        Meta(
            description="Chosen here: if kernels fill the card, their time grows with the batch. A larger batch that "
            "saves this much per sample shows that they did not."
        ),
    ] = 0.2
    precision_saved: Annotated[
        Share,
        Meta(
            description="Chosen here: Tensor Cores save more than this; a smaller gain of 16 bits has another reason."
        ),
    ] = 0.1
