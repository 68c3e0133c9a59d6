"""The records of what a device ran: its kernels and copies, the operations and loops behind them, what held the host.

They are parts of `records.DeviceBreakdown`, and share its schema.
"""

from __future__ import annotations

from gpuprobe.records import Record


class KernelFacts(Record, frozen=True, kw_only=True):
    """The kernels of one device. Shares are 0 to 1; `per_s` is over the time that the steps took.

    `tensor_core_time_fraction` and `eligible_time_fraction` are shares of the kernels' time: those that use Tensor
    Cores by their name, and those launched by operations that could.
    """

    count: int
    median_us: float
    under_10us_count_fraction: float
    under_10us_time_fraction: float
    under_25us_count_fraction: float
    under_25us_time_fraction: float
    per_s: float
    tensor_core_count: int
    tensor_core_time_fraction: float
    eligible_time_fraction: float | None
    collective_count: int


class TopKernel(Record, frozen=True, kw_only=True):
    """One kernel by name: how often, its time in all, and its share of all kernel time."""

    name: str
    count: int
    total_ms: float
    time_fraction: float
    median_us: float
    tensor_core: bool


class CopyFacts(Record, frozen=True, kw_only=True):
    """The copies of one direction. `gb_per_s` is bytes over time in GB (1e9), where the trace gives sizes.

    `link_fraction` is that against the device's own memory, which each byte crosses twice, for copies on the device;
    None for copies to and from the host: traces do not name the link.
    """

    direction: str
    count: int
    total_ms: float
    mebibytes: float | None
    gb_per_s: float | None
    link_fraction: float | None
    hidden_fraction: float


class OperationFacts(Record, frozen=True, kw_only=True):
    """The operations of one layer, forward and backward, or of the optimizer: `owner` is its path in the model.

    `types` are their kinds, the longest first, with the share of the owner's time of each. `fraction` is the share of
    the steps in which one of them ran (0 to 1), `count` how many ran in a step.
    """

    owner: str
    of_optimizer: bool
    types: dict[str, float]
    ms_per_step: float
    fraction: float
    count: float


class LoopFacts(Record, frozen=True, kw_only=True):
    """A loop that the graph of the step holds: its path, how often its body runs in a step, and for how long.

    `fraction` is the share of the steps (0 to 1) from the begin of its first turn to the end of its last, of which some
    operation of it ran for `busy_ms_per_step`. `maps` says that it is a `tf.map_fn`, `recurrent` that its layer goes
    through time.
    """

    path: str
    turns: float
    ms_per_step: float
    busy_ms_per_step: float
    fraction: float
    maps: bool = False
    recurrent: bool = False


class HeldFacts(Record, frozen=True, kw_only=True):
    """How the host was held while the device idled: the stretches in which it launched nothing for long.

    `steps` are those in which what held it longest did, `kind` is what that was (`host_work.WorkKind`). Of the time of
    `idle_host_work`, `told_fraction` is the share of which an event tells what the host did; of that of `idle_once`,
    `proven_fraction` the share of which one step is enough to say that it does not come again. Both 0 to 1, and None
    where there is no such time.
    """

    stretches: int
    steps: int
    kind: str
    told_fraction: float | None
    proven_fraction: float | None


class RecurrentFacts(Record, frozen=True, kw_only=True):
    """A recurrent layer that runs as a loop of operations. `time_fraction` is the share of the steps (0 to 1) in which
    the device waits for such a loop, or, on a processor, runs it; `setting` keeps cuDNN from running the layer whole,
    empty where the operations do not show it.
    """

    layer: str
    time_fraction: float
    operations_per_step: float
    setting: str
