"""The records of the step-time breakdown, which the diagnosis reads and `gpuprobe diagnose --json` prints.

Schema history
1  first version
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gpuprobe.ledger.device_facts import (
    CopyFacts,
    HeldFacts,
    KernelFacts,
    LoopFacts,
    OperationFacts,
    RecurrentFacts,
    TopKernel,
)
from gpuprobe.ledger.exchange_records import CommunicationFacts, HostClock, PeerFacts, StepWait
from gpuprobe.records import Confidence, Record

BREAKDOWN_SCHEMA = 1


class StepBreakdown(Record, frozen=True, kw_only=True):
    """One step: its number where the trace gives one, its wall time, and its time by category, which adds up to it."""

    number: int | None
    step_ms: float
    ledger_ms: dict[str, float]


class Spread(Record, frozen=True, kw_only=True):
    """How the steps differ: the median, the 5th and the 95th percentile in ms, and the indices of the outliers."""

    median_ms: float
    p5_ms: float
    p95_ms: float
    outliers: tuple[int, ...] = ()


class HostEvent(Record, frozen=True, kw_only=True):
    """An event of a host's thread, and for how many ms of a gap or a category it lasted."""

    name: str
    thread: str
    ms: float


class Gap(Record, frozen=True, kw_only=True):
    """A stretch in which the device did nothing: its step (from 0), start, length, categories, and host events."""

    step: int
    start_ms: float
    duration_ms: float
    causes_ms: dict[str, float]
    host: tuple[HostEvent, ...] = ()


class GapBin(Record, frozen=True, kw_only=True):
    """The gaps from `from_us` up to `to_us` long (None: no limit): how many, and their total time."""

    from_us: float
    to_us: float | None
    count: int
    total_ms: float


class DeviceBreakdown(Record, frozen=True, kw_only=True):
    """The breakdown of one device.

    `ledger_ms` is the time of each category in an average step and adds up to `step_ms`. The average is over `counted`
    of the `steps`: it leaves out the `warmup` steps at the beginning, and a last one that is not whole. `stalled_ms` is
    the part of `idle_queue` in which work had been launched for long, but nothing shows why it did not start;
    `stalled_in_ms` are such gaps in other categories, as far as they are long.
    `off_pace_ms` is the part of `idle_launch` in pauses that are long for the pace of launching. `cut` says why a GPU's
    only step may not be whole; empty where nothing shows that. `proof` names the host's events behind each category of
    idle time, with their ms over all steps.

    On a processor, `overhead_fraction` is the share of the steps in which a function but no operation of some length
    ran, without long waits for its threads, and `dispatch_fraction` the share in which Python started operations one by
    one. `waited_ms` is the part of `unattributed` in such waits. Fractions are 0 to 1. A figure that the trace does not
    give is None, and `missing` says why, by the figure's name.
    """

    name: str
    host: str
    kind: Literal["gpu", "cpu"]
    step_ms: float
    steps: int
    ledger_ms: dict[str, float]
    marker_step_ms: float | None = None
    gpu_span_ms: float | None = None
    kernel_fraction: float | None = None
    exposed_copy_fraction: float | None = None
    idle_outside_step_fraction: float | None = None
    sm_efficiency: float | None = None
    occupancy: float | None = None
    overlap_fraction: float | None = None
    overhead_fraction: float | None = None
    dispatch_fraction: float | None = None
    model: str | None = None
    facts: dict[str, float | str] = msgspec.field(default_factory=dict)
    steps_from: str = ""
    inside_from: str = ""
    warmup: int = 0
    counted: int = 1
    spread: Spread
    each_step: tuple[StepBreakdown, ...] = ()
    joined_fraction: float | None = None
    lost_fraction: float | None = None
    confidence: Confidence = "high"
    kernels: KernelFacts | None = None
    top_kernels: tuple[TopKernel, ...] = ()
    operations: tuple[OperationFacts, ...] = ()
    loops: tuple[LoopFacts, ...] = ()
    copies: tuple[CopyFacts, ...] = ()
    communication: CommunicationFacts | None = None
    held: HeldFacts | None = None
    recurrent: RecurrentFacts | None = None
    stalled_ms: float = 0.0
    stalled_in_ms: dict[str, float] = msgspec.field(default_factory=dict)
    off_pace_ms: float = 0.0
    waited_ms: float = 0.0
    cut: str = ""
    proof: dict[str, tuple[HostEvent, ...]] = msgspec.field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    gap_histogram: tuple[GapBin, ...] = ()
    missing: dict[str, str] = msgspec.field(default_factory=dict)

    def ms(self, category: str) -> float:
        """Return the time of a category in an average step; 0 in an old record without that category."""
        return self.ledger_ms.get(category, 0.0)

    def share(self, category: str) -> float:
        """Return the time of a category as a fraction of the step (0 to 1)."""
        return self.ms(category) / self.step_ms if self.step_ms > 0 else 0.0


class IteratorFacts(Record, frozen=True, kw_only=True):
    """One stage of the input pipeline, by the name that tf.data gives it, and how often it was called.

    `self_ms` is its time without the stages below it, `blocking_ms` the part of that while the training waited.
    """

    name: str
    count: int
    self_ms: float
    blocking_ms: float


class CpuOp(Record, frozen=True, kw_only=True):
    """A type of operation that ran on the processor and launched nothing: how often, and its total time."""

    type: str
    count: int
    total_ms: float


class OtherCalls(Record, frozen=True, kw_only=True):
    """Functions that Python calls beside the training function: the longest by name, and their ms per step.

    `passes_per_step` is how often a pass over a dataset begins in a step.
    """

    functions: tuple[str, ...]
    ms_per_step: float
    passes_per_step: float


class HostBreakdown(Record, frozen=True, kw_only=True):
    """What one host did over the steps of its first device.

    `eager_ms_per_step` is the time of the step in operations that Python started one by one, outside any tf.function.
    `graphs_built` leaves out the graphs of datasets whose passes begin beside the steps. `pipeline_busy_fraction` is
    the share of the steps in which threads of the input pipeline made batches ahead, 0 where none do.
    `batches_of_workers` is how many batches they took that other processes make ahead, as PyTorch's DataLoader has.
    `cpu_ops` are those that ran on the processor and launched nothing, `input_ops` all of the input pipeline.
    """

    host: str
    iterators: tuple[IteratorFacts, ...] = ()
    slowest_iterator: str | None = None
    input_wait_ms_per_step: float = 0.0
    between_steps_ms_per_step: float | None = None
    eager_ms_per_step: float = 0.0
    compile_ms: float = 0.0
    graphs_built: int = 0
    other_calls: OtherCalls | None = None
    pipeline_busy_fraction: float = 0.0
    batches_of_workers: int = 0
    cpu_ops: tuple[CpuOp, ...] = ()
    input_ops: tuple[CpuOp, ...] = ()


class TraceBreakdown(Record, frozen=True, kw_only=True):
    """The breakdown of a whole trace. `slowest` is an index in `devices`, with the reason, where there are several.

    `framework` is `tensorflow`, `jax` or `pytorch` as the names of its events tell, empty where they do not.
    `began_ns` and `ended_ns` are when its steps did, in nanoseconds since the Unix epoch; None where the trace has
    a clock of its own. `peers` are the devices whose exchanges could be matched, `waits` who was waited for in each
    step, and `unmatched` is why exchanges that there are could not be matched. `untold` is why devices are not compared
    at all, where too few were traced, their clocks are not known well enough, or their steps are others. `clocks`
    compares the hosts' clocks by the ends of those exchanges.
    """

    schema: int = BREAKDOWN_SCHEMA
    source: str
    format: str
    devices: tuple[DeviceBreakdown, ...]
    hosts: tuple[HostBreakdown, ...] = ()
    framework: str = ""
    began_ns: int | None = None
    ended_ns: int | None = None
    slowest: int | None = None
    slowest_why: str = ""
    peers: tuple[PeerFacts, ...] = ()
    waits: tuple[StepWait, ...] = ()
    unmatched: str = ""
    untold: str = ""
    clocks: tuple[HostClock, ...] = ()
    warnings: tuple[str, ...] = ()
