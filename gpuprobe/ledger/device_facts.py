"""The records of what a device ran: its kernels and copies, the operations and loops behind them, what held the host.

They are parts of `records.DeviceBreakdown`, and share its schema.
"""

from __future__ import annotations

from gpuprobe.records import Record


class KernelFacts(Record, frozen=True, kw_only=True):
    """The kernels of one device. Fractions are 0 to 1; `per_s` is kernels per second of the steps.

    `calls` counts the calls that launched them, as far as those are known: one call of a CUDA graph launches many.
    `tensor_core_time_fraction` is the share of kernel time in kernels that use Tensor Cores by their name,
    `eligible_time_fraction` the share in kernels launched by operations that could.
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
    calls: int = 0


class TopKernel(Record, frozen=True, kw_only=True):
    """One kernel by name: how often it ran, its total time, and its share of all kernel time (0 to 1)."""

    name: str
    count: int
    total_ms: float
    time_fraction: float
    median_us: float
    tensor_core: bool


class CopyFacts(Record, frozen=True, kw_only=True):
    """The copies of one direction. `gb_per_s` is 1e9 bytes per second, where the trace gives sizes.

    For copies on the device, `link_fraction` is that rate over the bandwidth of its memory, which each byte crosses
    twice. For copies to and from the host it is None: traces do not name the link. `hidden_fraction` is the share of
    the copies' time in which a kernel runs too.
    """

    direction: str
    count: int
    total_ms: float
    mebibytes: float | None
    gb_per_s: float | None
    link_fraction: float | None
    hidden_fraction: float


class OperationFacts(Record, frozen=True, kw_only=True):
    """The operations of one layer (forward and backward) or of the optimizer; `owner` is its path in the model.

    `types` are the types of operation, the longest first, each with its share of the owner's time. `fraction` is the
    share of the steps in which one of the operations ran (0 to 1), `count` the operations per step.
    """

    owner: str
    of_optimizer: bool
    types: dict[str, float]
    ms_per_step: float
    fraction: float
    count: float


class LoopFacts(Record, frozen=True, kw_only=True):
    """A loop in the graph of the step: its path, its iterations in a step (`turns`), and its time.

    `fraction` is the share of the steps (0 to 1) from the begin of the first iteration to the end of the last. During
    `busy_ms_per_step` of that, an operation of the loop ran. `maps` says that it is a `tf.map_fn`, `recurrent` that it
    belongs to a recurrent layer.
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

    `kind` is the kind of work that held it longest (`host_work.WorkKind`), `steps` the number of steps with that work.
    `told_fraction` is the share of `idle_host_work` for which an event shows what the host did, `proven_fraction` the
    share of `idle_once` for which a single step proves that it does not come again. Both are 0 to 1, and None where
    there is no such time.
    """

    stretches: int
    steps: int
    kind: str
    told_fraction: float | None
    proven_fraction: float | None


class RecurrentFacts(Record, frozen=True, kw_only=True):
    """A recurrent layer that runs as a loop of operations.

    `time_fraction` is the share of the steps (0 to 1) in which a GPU waits for such a loop, or a processor runs it.
    `setting` is the layer's setting that rules cuDNN out; empty where the operations do not show it.
    """

    layer: str
    time_fraction: float
    operations_per_step: float
    setting: str
