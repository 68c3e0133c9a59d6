"""The numbers that decide, with their sources; a TOML file of the user's may replace any of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import InputError
from gpuprobe.records import Record

if TYPE_CHECKING:
    from pathlib import Path


class Thresholds(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every threshold of the rules, with its source. Shares and fractions are 0 to 1, shares of the step's time."""

    # From this share of the time on, kernels (or the processor's cores) make the device itself the limit; MLPerf
    # Storage asks for 0.90.
    compute_fraction: float = 0.8
    # Within this of compute_fraction the verdict would turn with the next step: both causes are told.
    compute_margin: float = 0.02
    # The span of kernels leaves out a wait before the first: less of the step than this is no full GPU.
    compute_of_step: float = 0.5
    # Without a GPU: waiting for this much of the step, the processor is not the limit.
    cpu_idle_share: float = 0.2
    # Without a GPU: the processor is the limit where it is seen at work for so much of the step.
    cpu_busy_share: float = 0.5
    # Two causes nearer than this tie.
    tie_points: float = 0.1
    # With this much of the step unexplained, the largest known part may not be the largest.
    unattributed_share: float = 0.2
    # A cause behind the one that shows is no more than a note where it costs less of the step.
    root_share: float = 0.1
    # XProf: a step is moderately input-bound from 5 % on (op_stats_to_input_pipeline_analysis.cc).
    input_share: float = 0.05
    # XProf warns of kernel launches strongly from 15 % on; a change that removes them gains as much.
    launch_share: float = 0.15
    # XProf warns of 'All Others' strongly from 15 % on.
    between_steps_share: float = 0.15
    # As for collectives: so much of the step for copies that no kernel hides.
    copy_share: float = 0.1
    # Kineto's tb_plugin advises on communication from 10 % of the step on.
    collective_share: float = 0.1
    # As for the input: XProf's least share for a wait of the host.
    sync_share: float = 0.05
    # As for the input; after warm-up nothing should compile at all.
    compile_share: float = 0.05
    # As for the input: waiting for the allocator of the device's memory.
    memory_share: float = 0.05
    # XProf: eager operations above 10 % of the step.
    eager_share: float = 0.1
    # A graph built in a steady step is one too many.
    graphs_built: float = 1.0
    # Chosen here: a tenth more work than the others is beyond the noise of kernels of one model.
    straggler_ratio: float = 1.1
    # Chosen here: below a tenth of the kernels' time there is little to win from Tensor Cores.
    tensor_eligible_fraction: float = 0.1
    # Kineto's tb_plugin warns where no kernel uses Tensor Cores; a hundredth is one stray kernel.
    tensor_used_fraction: float = 0.01
    # DCGM's guide: an SM activity of 0.8 is needed, below 0.5 a GPU is used ineffectively.
    sm_filled: float = 0.8
    # Chosen here: meters that differ by less than twenty points tell the same story.
    meters_apart: float = 0.2
    # pyperf calls a tenth unstable.
    profiler_slowdown: float = 1.1
    # Chosen here: kernels that fill the card take as long as the batch is large; to save this much they did not.
    batch_saved: float = 0.2
    # Chosen here: less than this from 16-bit arithmetic is not what Tensor Cores are for.
    precision_saved: float = 0.1
    # SageMaker Debugger: a GPU below 10 % idles, and one whose 5th percentile is below it fluctuates.
    at_rest: float = 0.1
    # SageMaker Debugger, LowGPUUtilization and BatchSize: a 95th percentile below 70 % leaves room.
    underused: float = 0.7
    # SageMaker Debugger, CPUBottleneck and IOBottleneck: more than half of the time.
    mostly: float = 0.5
    # A Python thread that holds the interpreter's lock has no more than one core; waiting takes the rest.
    thread_pinned: float = 0.9
    # Chosen here: less than this of one core is what waiting costs.
    at_work_cores: float = 0.5
    # Chosen here: a machine that has less than a tenth of its processors left is full.
    machine_full: float = 0.9
    # Chosen here: a command that wants a core gets this much of one even on a full machine.
    wanted_cores: float = 0.1
    # A CUDA context alone takes more than this of a card's memory.
    context_mib: float = 64.0
    # Kineto's profiler warns above 90 % of the card's memory.
    memory_full: float = 0.9
    # TensorFlow's allocator takes nearly all memory in one step, which says nothing about the need.
    memory_jump: float = 0.5
    # Chosen here: clocks held down for less than a tenth of the time cost at most some percent.
    throttled_fraction: float = 0.1
    # Chosen here: clocks less than 15 % down cost at most some percent.
    clocks_down: float = 0.15
    # Chosen here: another program that computes for a tenth of the time.
    shared_fraction: float = 0.1
    # Chosen here: a link at one generation or half the lanes less than could be.
    pcie_part: float = 0.75
    # Chosen here: a twentieth of the step lost by the slower link.
    pcie_share: float = 0.05


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


def _unknown(given: dict[str, object]) -> str | None:
    known = Thresholds.__struct_fields__
    name = next((name for name in given if name not in known), None)
    if name is None:
        return None
    near = difflib.get_close_matches(name, known, 1)
    return f"no threshold is called {name!r}" + (f"; did you mean {near[0]}?" if near else f"; see {', '.join(known)}")
