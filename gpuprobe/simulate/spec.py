"""Every knob of a simulated session, in one frozen record; each has a description, and its name ends in its unit.

A spec file is the same in TOML: one table for each part, with these keys; a key that is left out has its default. The
defaults describe a healthy session: one GPU that is busy nearly all the time.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gpuprobe.records import Record

# Of the forward and the backward pass, which computes twice as much.
FORWARD_SHARE = 1 / 3

Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]


class Part(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the parts of a spec: an unknown key is an error."""


class Card(Part, frozen=True, kw_only=True):
    """The GPU, and what slows it down."""

    name: Annotated[str, Meta(description="name of the card in the driver")] = "NVIDIA GeForce RTX 2080 Ti"
    compute_capability: Annotated[str, Meta(description="such as 6.1; Tensor Cores exist from 7.0 on")] = "7.5"
    sm_count: Annotated[AtLeastOne, Meta(description="streaming multiprocessors")] = 68
    clock_mhz: Annotated[Positive, Meta(description="clock of the multiprocessors under load")] = 1545.0
    memory_mib: Annotated[Positive, Meta(description="memory of the card")] = 11264.0
    memory_gb_per_s: Annotated[Positive, Meta(description="bandwidth of that memory")] = 616.0
    memory_used_mib: Annotated[Positive, Meta(description="memory of this training")] = 2400.0
    power_limit_w: Annotated[Positive, Meta(description="power drawn when busy")] = 250.0
    on_gpu: Annotated[bool, Meta(description="false: TensorFlow does not use the card and trains on the CPU")] = True
    cpu_slowdown: Annotated[Positive, Meta(description="factor by which a kernel's work takes longer on the CPU")] = (
        12.0
    )
    clock_fraction: Annotated[float, Meta(gt=0, le=1, description="share of the clock that throttling leaves")] = 1.0
    throttle_reason: Annotated[Literal["thermal", "power"], Meta(description="reason for throttling")] = "thermal"
    pcie_fraction: Annotated[float, Meta(gt=0, le=1, description="available share of the link's bandwidth")] = 1.0
    other_process_share: Annotated[float, Meta(ge=0, le=0.95, description="share of the GPU's time, in slices")] = 0.0
    other_process_slice_ms: Annotated[Positive, Meta(description="length of a slice of the other process")] = 2.0
    other_process_mib: Annotated[Amount, Meta(description="memory of the other process, if it has a share")] = 1500.0


class Kernels(Part, frozen=True, kw_only=True):
    """The work of one step on one GPU, as it would run there in float32."""

    count: Annotated[AtLeastOne, Meta(description="kernels of one step, before any fusing")] = 300
    mean_us: Annotated[Positive, Meta(description="mean length of a kernel")] = 150.0
    fixed_us: Annotated[Amount, Meta(description="part of the mean that no batch, clock or dtype changes")] = 2.0
    spread: Annotated[Amount, Meta(le=3, description="sigma of the log-normal lengths within a step")] = 0.8
    sm_fill: Annotated[Positive, Meta(description="blocks of a mean kernel over multiprocessors; 1 fills the card")] = (
        2.0
    )
    matmul_share: Annotated[Share, Meta(description="share of the time that Tensor Cores can take over")] = 0.3
    dtype: Annotated[Literal["float32", "float16"], Meta(description="dtype of the computation")] = "float16"
    tensor_core_speedup: Annotated[Positive, Meta(description="speed of that share in float16, from 7.0 on")] = 3.0
    fp16_slowdown: Annotated[Positive, Meta(description="longer time of that share in float16, before 7.0")] = 1.5
    mflop_per_sample: Annotated[
        Amount, Meta(description="arithmetic of a training step for one sample, as TensorFlow counts; 0: not counted")
    ] = 0.0
    streams: Annotated[int, Meta(ge=1, le=8, description="compute streams that take kernels in turn")] = 1
    fused: Annotated[AtLeastOne, Meta(description="kernels that XLA fuses into one; 1 is no XLA")] = 1

    @property
    def fill(self) -> float:
        """Blocks of the mean kernels that run at once, one in each stream, over multiprocessors."""
        return self.sm_fill * self.streams


class Host(Part, frozen=True, kw_only=True):
    """The Python thread, the dispatch of operations, and the launch of kernels."""

    cores: Annotated[AtLeastOne, Meta(description="cores of the processor")] = 8
    function_call_us: Annotated[Amount, Meta(description="Python's part of one call of the train function")] = 300.0
    dispatch_us: Annotated[Amount, Meta(description="work of the runtime for one operation before its launch")] = 6.0
    launch_us: Annotated[Positive, Meta(description="one launch call")] = 5.0
    queue_depth: Annotated[AtLeastOne, Meta(description="launches that can wait; the next call then blocks")] = 1024
    wddm_batch: Annotated[AtLeastOne, Meta(description="launches handed over at once, as WDDM does; 1 is Linux")] = 1
    wddm_submit_us: Annotated[Amount, Meta(description="handing one batch of launches over")] = 0.0
    callback_ms: Annotated[Amount, Meta(description="Python between two calls: callbacks, metrics, logging")] = 0.3
    callback_every: Annotated[AtLeastOne, Meta(description="calls between two such pauses")] = 1
    sync_every: Annotated[Count, Meta(description="calls between two readings of the loss; 0 is never")] = 0
    syncs_in_step: Annotated[Count, Meta(description="readings back to the host within each step")] = 0
    sync_wake_us: Annotated[Amount, Meta(description="from the GPU's end to the return of a waiting call")] = 15.0
    steps_per_execution: Annotated[AtLeastOne, Meta(description="steps in one call of the train function")] = 1
    eager: Annotated[bool, Meta(description="each operation called from Python, without a train function")] = False
    eager_op_us: Annotated[Amount, Meta(description="Python's part of each, where eager")] = 60.0
    compile_every: Annotated[Count, Meta(description="calls between two compilations; 0 is never")] = 0
    compile_ms: Annotated[Amount, Meta(description="one compilation")] = 0.0
    compile_kind: Annotated[Literal["xla", "retracing"], Meta(description="kind of compilation")] = "xla"
    host_work_ms: Annotated[
        Amount, Meta(description="work of the launching thread that launches nothing, in each step")
    ] = 0.0
    host_work_pieces: Annotated[AtLeastOne, Meta(description="parts in which it comes, evenly over the step")] = 1
    host_work_kind: Annotated[
        Literal["operation", "unseen"], Meta(description="an operation placed on the processor, or nothing that shows")
    ] = "operation"
    once_ms: Annotated[Amount, Meta(description="work that is done once, and falls into the trace")] = 0.0
    once_kind: Annotated[
        Literal["code_loading", "autotuning", "specialising"],
        Meta(description="a launch that loads code, an operation that tries kernels, a function compiled again"),
    ] = "code_loading"
    once_call: Annotated[Count, Meta(description="traced call into which it falls, from 0")] = 0
    allocations: Annotated[Count, Meta(description="calls to the driver's allocator in each step")] = 0
    allocation_us: Annotated[Amount, Meta(description="one such call")] = 0.0
    profiler_us: Annotated[Amount, Meta(description="what the profiler adds to each launch while it traces")] = 0.5


class Input(Part, frozen=True, kw_only=True):
    """How the next batch is made; times are for a whole batch on one core."""

    feed: Annotated[
        Literal["tf_data", "generator", "python", "device"],
        Meta(
            description="a pipeline; a Python generator behind one; a Python loop between the calls; on the GPU already"
        ),
    ] = "tf_data"
    read_ms: Annotated[Amount, Meta(description="reading from storage, unless cached")] = 0.0
    cache: Annotated[Literal["none", "cold", "warm"], Meta(description="cold reads and maps, warm does neither")] = (
        "none"
    )
    map_ms: Annotated[Amount, Meta(description="the map function")] = 4.0
    parallel_calls: Annotated[AtLeastOne, Meta(description="map calls at a time, as far as there are cores")] = 4
    batch_ms: Annotated[Amount, Meta(description="putting the batch together, one core")] = 0.4
    python_ms: Annotated[Amount, Meta(description="Python's part, where the feed is a generator or a loop")] = 0.0
    prefetch: Annotated[Count, Meta(description="batches that wait ready; 0 prepares when asked")] = 2
    shuffle_fill_ms: Annotated[Amount, Meta(description="filling the shuffle buffer anew")] = 0.0
    shuffle_fill_every: Annotated[AtLeastOne, Meta(description="batches from one such filling to the next")] = 8
    get_next_us: Annotated[Amount, Meta(description="taking a batch that is ready")] = 20.0


class Copies(Part, frozen=True, kw_only=True):
    """Copies between host and card, and on the card."""

    batch_mib: Annotated[Amount, Meta(description="one batch, host to device")] = 1.5
    feed_dtype: Annotated[
        Literal["float32", "uint8"], Meta(description="dtype of the batches; their size is batch_mib")
    ] = "float32"
    link_gb_per_s: Annotated[Positive, Meta(description="bandwidth of the bus from pinned memory")] = 12.0
    pinned: Annotated[bool, Meta(description="false: from pageable memory, and the call waits for the copy")] = True
    pageable_gb_per_s: Annotated[Positive, Meta(description="bandwidth from pageable memory")] = 4.0
    latency_us: Annotated[Amount, Meta(description="latency of each copy")] = 1.5
    ahead: Annotated[bool, Meta(description="the next batch is copied while this one is computed")] = False
    back_mib: Annotated[Amount, Meta(description="device to host at the end of each call, which waits for it")] = 0.0
    on_card_mib: Annotated[Amount, Meta(description="device to device at the start of each step")] = 0.0


class Collective(Part, frozen=True, kw_only=True):
    """Several GPUs that train one model together."""

    gpus: Annotated[int, Meta(ge=1, le=16, description="number of GPUs")] = 1
    allreduce_ms: Annotated[Amount, Meta(description="exchanging the gradients of one step, all buckets")] = 0.0
    buckets: Annotated[
        int, Meta(ge=1, le=16, description="parts of the exchange, each sent when its gradients are ready")
    ] = 1
    update_share: Annotated[
        float, Meta(ge=0, le=0.5, description="last part of the kernels, which waits for all that is exchanged")
    ] = 0.0
    overlap: Annotated[
        bool,
        Meta(
            description="buckets go while the backward pass runs, which takes two thirds of the step without the update"
        ),
    ] = False
    straggler: Annotated[Count, Meta(description="the GPU that is slower than the others")] = 0
    straggler_slowdown: Annotated[float, Meta(ge=1, description="factor by which its kernels take longer")] = 1.0

    @property
    def points(self) -> tuple[float, ...]:
        """After which share of a step's kernels each bucket's gradients are there."""
        ready, numbers = 1 - self.update_share, range(1, self.buckets + 1)
        if self.overlap:
            return tuple(FORWARD_SHARE + (ready - FORWARD_SHARE) * number / self.buckets for number in numbers)
        # Where nothing is said of an update, what comes after a bucket waits for it.
        return tuple(ready if self.update_share else number / self.buckets for number in numbers)


class WholeRun(Part, frozen=True, kw_only=True):
    """The parts of a run outside its steps."""

    steps_per_epoch: Annotated[AtLeastOne, Meta(description="steps of one epoch")] = 1000
    epochs: Annotated[AtLeastOne, Meta(description="epochs of the run")] = 10
    startup_s: Annotated[Amount, Meta(description="imports, data and building, before the first call")] = 0.0
    first_call_s: Annotated[Amount, Meta(description="tracing and compiling in the first call")] = 0.0
    epoch_start_ms: Annotated[Amount, Meta(description="wait for an epoch's first batch")] = 0.0
    validation_ms: Annotated[Amount, Meta(description="validation after each epoch")] = 0.0
    checkpoint_ms: Annotated[Amount, Meta(description="saving the model after each epoch")] = 0.0
    tail_s: Annotated[Amount, Meta(description="after the last epoch")] = 0.0

    @property
    def beside_ms(self) -> float:
        """The time of one epoch outside its steps, in ms."""
        return self.epoch_start_ms + self.validation_ms + self.checkpoint_ms

    @property
    def ms_per_step(self) -> float:
        """The time outside steps divided by the run's steps, in ms."""
        once_ms = 1000 * (self.startup_s + self.first_call_s + self.tail_s)
        return (self.beside_ms + once_ms / self.epochs) / self.steps_per_epoch


class Recording(Part, frozen=True, kw_only=True):
    """What is recorded of the session, and how completely."""

    trace: Annotated[bool, Meta(description="whether there is a profiler trace")] = True
    style: Annotated[Literal["current", "2020"], Meta(description="as today's TensorFlow writes it, or as 2.3 did")] = (
        "current"
    )
    host_events: Annotated[bool, Meta(description="whether the trace shows what the host did")] = True
    correlated: Annotated[bool, Meta(description="whether kernels carry the id of their launch")] = True
    step_markers: Annotated[bool, Meta(description="whether each call is marked as a step")] = True
    dropped_share: Annotated[Share, Meta(description="share of the GPU's events that the profiler lost")] = 0.0
    telemetry: Annotated[bool, Meta(description="whether NVML and the host were sampled")] = True
    nvml_period_s: Annotated[Positive, Meta(description="period of NVML's utilization")] = 1 / 6
    window_s: Annotated[Positive, Meta(description="length of the timed window before the trace")] = 10.0


class Spec(Part, frozen=True, kw_only=True):
    """A whole session. Equal specs give equal bytes on disk."""

    name: Annotated[str, Meta(description="name of the run")] = "simulated"
    seed: Annotated[Count, Meta(description="seed of all noise")] = 0
    noise: Annotated[Share, Meta(description="relative spread of every duration from step to step")] = 0.03
    batch_size: Annotated[AtLeastOne, Meta(description="samples of one step")] = 128
    steps: Annotated[int, Meta(ge=2, le=1000, description="calls that are traced")] = 6
    card: Card = Card()
    kernels: Kernels = Kernels()
    host: Host = Host()
    input: Input = Input()
    copies: Copies = Copies()
    collective: Collective = Collective()
    run: WholeRun = WholeRun()
    recording: Recording = Recording()

    def __post_init__(self) -> None:
        """Refuse knobs that contradict each other."""
        if self.host.wddm_batch > self.host.queue_depth:
            raise ValueError("host.wddm_batch is larger than host.queue_depth: nothing would ever be handed over")
        if self.host.once_ms and self.host.once_call >= self.steps:
            raise ValueError("host.once_call is not among the calls that are traced")
        if self.collective.straggler >= self.collective.gpus:
            raise ValueError("collective.straggler names a GPU that is not there; the first is 0")
        if self.collective.gpus > 1 and self.host.eager:
            raise ValueError("host.eager is true: one Python thread runs each operation, and collective.gpus must be 1")
        if self.collective.gpus > 1 and not self.card.on_gpu:
            raise ValueError("card.on_gpu is false: there is one CPU, and collective.gpus must be 1")
        if not self.card.on_gpu and (self.host.host_work_ms or self.host.once_ms):
            raise ValueError("card.on_gpu is false: nothing waits for the launching thread; set no host_work or once")
