"""The catalogue of causes: what each is, how it shows, what cures it, and what it can be mistaken for.

Everything that is said or decided about a cause by its id stands here or is derived from it. A new cause is an id, a
record here, and, where it is no share of a traced step, a rule in `rules/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gpuprobe.diagnosis.advice import compute, feeding, host_work, others

if TYPE_CHECKING:
    from gpuprobe.diagnosis.advice.given import Given
    from gpuprobe.diagnosis.advice.situation import Situation
    from gpuprobe.thresholds import Thresholds

CauseId = Literal[
    "input_bound",
    "launch_bound",
    "batch_too_small",
    "copy_bound",
    "sync_every_step",
    "host_between_steps",
    "eager_or_retracing",
    "recompiling",
    "compute_bound",
    "serial_loop",
    "host_work",
    "one_time_work",
    "rnn_without_cudnn",
    "tensor_cores_unused",
    "fp16_without_tensor_cores",
    "throttled",
    "pcie_degraded",
    "gpu_shared",
    "gpu_memory_tight",
    "collective_bound",
    "straggler",
    "not_on_gpu",
    "wrong_meter",
    "profiler_perturbed",
    "epoch_start",
    "validation",
    "checkpointing",
    "startup",
    "compiled_again",
    "many_small_fits",
    "unattributed",
]
Device = Literal["gpu", "cpu"]
# What one kind of evidence calls by one name, another that sees less calls by another of the same family: too small a
# batch shows in launches that do not keep up; what Python does for each operation shows as launches too.
Family = Literal["launches", "host", "device"]
# Gives an advice; None where what the rule said stands.
Advice = Callable[["Situation", str | None], "Given | None"]


@dataclass(frozen=True)
class Part:
    """The share of a traced step that names a cause: its signal, the threshold from which on it is told, the claim.

    `on` are the kinds of device in whose traces it shows; `also` are further signals that are shown with it.
    """

    share: str
    threshold: str
    claim: str
    also: tuple[str, ...] = ()
    on: frozenset[Device] = frozenset({"gpu"})


@dataclass(frozen=True)
class Cause:
    """One cause. `words` end the sentence "the cause is that ..."; `signature` says how it shows.

    `thresholds` and `signals` are those that decide it, beside those of its `part`. `roots` lie behind it: where one of
    them is sure, that one leads (`root_is_most`: only where it makes up most of it). `symptoms` vanish with it.
    `cures` are the changes of a replay that cure it, the usual one first; a name stands for all sizes of the change
    (`prefetch` for `prefetch_2`). `weighed` says that the replay tells what it costs; `condition` that it is true
    beside a cause, and leads only where no cause is known; `decided_by_trace` that a trace has decided it, for or
    against, so that a hint of the readings adds nothing. `elsewhere` is the advice for other frameworks.
    """

    id: CauseId
    words: str
    signature: str
    fix: str
    mistaken_for: str
    devices: tuple[Device, ...] = ("gpu",)
    part: Part | None = None
    thresholds: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    family: Family | None = None
    roots: tuple[CauseId, ...] = ()
    root_is_most: bool = False
    symptoms: tuple[CauseId, ...] = ()
    cures: tuple[str, ...] = ()
    weighed: bool = False
    condition: bool = False
    decided_by_trace: bool = False
    advice: Advice | None = None
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def threshold(self, limits: Thresholds) -> float:
        """Return the share of the step from which on its part is told; 0 where it has none."""
        return float(getattr(limits, self.part.threshold)) if self.part else 0.0

    @property
    def shown(self) -> Part:
        """Return its part of a traced step, which the causes of `BY_SHARE` have."""
        assert self.part is not None, f"{self.id} is no share of a step"
        return self.part

    @property
    def exclusive(self) -> bool:
        """Whether its share takes time from the others': one of a GPU's breakdown, the rest of which lies across it."""
        part_of_it = self.part is not None and "gpu" in self.part.on
        return part_of_it or self.id in {"compute_bound", "unattributed"}

    @property
    def decided_by(self) -> tuple[str, ...]:
        """The names of all thresholds that decide it."""
        return (*([self.part.threshold] if self.part else []), *self.thresholds)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The names of all signals that it rests on."""
        return (*([self.part.share, *self.part.also] if self.part else []), *self.signals)


@dataclass(frozen=True)
class Stage:
    """A part of a cause that a finding may name, as a stage of the input: plain words, and the changes that cure it."""

    words: str
    cures: tuple[str, ...]
    of: CauseId = "input_bound"


BOTH: frozenset[Device] = frozenset({"gpu", "cpu"})
CATALOGUE = (
    Cause(
        id="input_bound",
        words="the next batch comes too late",
        signature="The device idles while the training waits in the iterator's next call.",
        fix="Make the input pipeline faster: parallel map, cache() after it, prefetch at the end.",
        mistaken_for="host_between_steps, where Python makes the batch outside the training function; launch_bound, "
        "where one Python thread both feeds and launches",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_input",
            "input_share",
            "The {device} waits for the next batch in {share} of the step ({time}).",
            ("slowest_iterator", "proof.idle_input"),
            BOTH,
        ),
        thresholds=("mostly", "thread_pinned"),
        signals=("input_share", "busiest_thread_fraction", "cpu_full_gpu_idle_fraction", "iowait_gpu_idle_fraction"),
        cures=("input_free",),
        decided_by_trace=True,
        advice=feeding.input_bound,
        elsewhere=others.INPUT_BOUND,
    ),
    Cause(
        id="launch_bound",
        words="the host starts the kernels more slowly than the GPU runs them",
        signature="Many short kernels with gaps of the same length between them, at the pace of the launching thread.",
        fix="Launch less for the same work: compile with XLA, a larger batch, several steps per execution.",
        mistaken_for="eager_or_retracing and batch_too_small, which show as late launches too; sync_every_step, after "
        "which the launches come late; host_work and one_time_work, in which nothing is launched for long",
        part=Part(
            "share.launch",
            "launch_share",
            "The {device} waits in {share} of the step ({time}) for kernels that the host has not launched yet, or "
            "that are launched and not started.",
            (
                "share.idle_launch",
                "share.idle_queue",
                "kernels_per_step",
                "kernel_median_us",
                "kernels_under_10us_count_fraction",
            ),
        ),
        signals=("gain.xla", "gain.steps_per_execution"),
        family="launches",
        roots=("eager_or_retracing", "serial_loop", "rnn_without_cudnn"),
        root_is_most=True,
        cures=("launches_fused", "batch_times", "steps_per_execution"),
        decided_by_trace=True,
        advice=compute.launch_bound,
        elsewhere=others.LAUNCH_BOUND,
    ),
    Cause(
        id="copy_bound",
        words="copies between host and GPU take the time",
        signature="Copies run while no kernel does.",
        fix="Copy less and earlier: feed uint8 and cast on the device, prefetch to the device, or keep the data there.",
        mistaken_for="pcie_degraded, where the link makes ordinary copies slow; input_bound, where the batch is late "
        "and not its copy",
        part=Part(
            "share.copy",
            "copy_share",
            "Copies that no kernel hides take {share} of the step ({time}).",
            (
                "share.gpu_copy_h2d",
                "share.gpu_copy_d2h",
                "share.gpu_copy_d2d",
                "exposed_copy_fraction",
                "copy_h2d_gb_per_s",
            ),
        ),
        roots=("pcie_degraded",),
        root_is_most=True,
        cures=("copies_hidden", "uint8_feed"),
        decided_by_trace=True,
        advice=feeding.copy_bound,
        elsewhere=others.COPY_BOUND,
    ),
    Cause(
        id="sync_every_step",
        words="the host stops to read results in every step",
        signature="The device idles while the host is inside a synchronising call or reads a result back.",
        fix="Read losses and metrics on the host once in many steps, not in each.",
        mistaken_for="host_between_steps: time after the call has returned is not its own",
        part=Part(
            "share.idle_sync",
            "sync_share",
            "The {device} is idle in {share} of the step ({time}) while the host waits inside a synchronising call or "
            "reads a result back.",
            ("proof.idle_sync",),
        ),
        family="host",
        # A sync drains the queue, so that the launches after it come late.
        symptoms=("launch_bound", "batch_too_small"),
        cures=("syncs_removed",),
        decided_by_trace=True,
        advice=compute.sync_every_step,
        elsewhere=others.SYNC_EVERY_STEP,
    ),
    Cause(
        id="host_between_steps",
        words="Python is busy between the steps",
        signature="The device idles while the host is outside the training function.",
        fix="Do less between steps: fewer callbacks and summaries per batch, verbose=2, several steps per execution.",
        mistaken_for="input_bound, where a loop of your own makes batches in Python; compute_bound, where the host "
        "outside the function only waits for the result",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_between_steps",
            "between_steps_share",
            "The {device} is idle in {share} of the step ({time}) while the host is outside the training function: "
            "callbacks, metrics, logging, Python.",
            ("idle_outside_step_fraction", "proof.idle_between_steps"),
            BOTH,
        ),
        signals=("outside_fraction",),
        family="host",
        roots=("eager_or_retracing",),
        root_is_most=True,
        # The results that a callback reads are what the host waits for.
        symptoms=("sync_every_step",),
        cures=("callbacks_removed", "steps_per_execution"),
        decided_by_trace=True,
        advice=compute.host_between_steps,
        elsewhere=others.HOST_BETWEEN_STEPS,
    ),
    Cause(
        id="rnn_without_cudnn",
        words="a recurrent layer runs as a loop of small operations",
        signature="The device waits for launches while operations in the while loop of a recurrent layer run.",
        fix="Let cuDNN run the layer whole: activation tanh, recurrent_activation sigmoid, recurrent_dropout 0, unroll "
        "off, use_bias on, reset_after on for a GRU, and padding only at the end of a sequence.",
        mistaken_for="launch_bound, which is how it shows",
        devices=("gpu", "cpu"),
        thresholds=("recurrent_share",),
        signals=("recurrent_share", "recurrent_layer", "recurrent_operations", "recurrent_setting"),
        family="launches",
        advice=host_work.rnn_without_cudnn,
    ),
    Cause(
        id="host_work",
        words="the host does work of its own while the device waits",
        signature="The device idles while the launching thread is inside one operation, call or frame that launches "
        "nothing, for long beside the pace at which it launches otherwise; on a processor the step itself calls Python "
        "or prepares samples, and does nothing else.",
        fix="Take the work out of the step: into the input pipeline, onto the device, or onto another thread.",
        mistaken_for="launch_bound, which needs many short gaps and which fewer launches cure: they do not cure this; "
        "one_time_work, where it does not come again",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_host_work",
            "host_work_share",
            "In {share} of the step ({time}) the {device} waits for work of the host's own, in which it launches and "
            "trains nothing.",
            ("proof.idle_host_work", "held_kind", "held_stretches", "held_steps"),
            BOTH,
        ),
        family="host",
        cures=("host_work_removed",),
        decided_by_trace=True,
        advice=host_work.host_work,
        elsewhere=host_work.HOST_WORK,
    ),
    Cause(
        id="one_time_work",
        words="the trace holds work that is done once",
        signature="The device idles while kernels' code is loaded, kernels are tried or compiled, or an operation "
        "takes long that is short in the other steps.",
        fix="Trace later, when all of it is done: the steps after it tell what the training costs.",
        mistaken_for="recompiling, where it is done again and again; launch_bound; host_work",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_once",
            "one_time_share",
            "The {device} is idle in {share} of the step ({time}) while the host does what is done once: this trace "
            "says little of the steps after it.",
            ("proof.idle_once", "once_proven_fraction"),
            BOTH,
        ),
        cures=("one_time_work_removed",),
        decided_by_trace=True,
        advice=host_work.one_time_work,
        elsewhere=host_work.ONE_TIME_WORK,
    ),
    Cause(
        id="collective_bound",
        words="exchanging gradients between devices takes the time",
        signature="Kernels of a collectives library run while no other does; on processors, operations that exchange.",
        fix="Exchange less often or in fewer, larger parts, in float16, or over a faster link.",
        mistaken_for="straggler: a device in an exchange may only wait for another, which its own trace cannot tell",
        devices=("gpu", "cpu"),
        part=Part(
            "share.exchange",
            "collective_share",
            "Exchanging gradients between devices takes {share} of the step ({time}) in which nothing is computed.",
            ("kernel_fraction",),
            BOTH,
        ),
        roots=("straggler",),
        root_is_most=True,
    ),
    Cause(
        id="gpu_memory_tight",
        words="the GPU's memory is nearly full",
        signature="The device idles while its memory is allocated or freed, or its memory fills step by step.",
        fix="Leave the allocator room: a smaller batch, or no other process on the card.",
        mistaken_for="nothing wrong: TensorFlow takes nearly all memory at once, whatever it needs",
        part=Part(
            "share.idle_memory",
            "memory_share",
            "The {device} is idle in {share} of the step ({time}) while the host allocates or frees device memory.",
            ("proof.idle_memory",),
        ),
        thresholds=("memory_full", "memory_jump"),
        signals=("memory_peak_fraction", "memory_jump_fraction"),
        cures=("allocations_removed",),
        condition=True,
    ),
    Cause(
        id="recompiling",
        words="the step is compiled again and again",
        signature="The device idles while the host builds graphs or compiles, after warm-up.",
        fix="Let every step have the same shapes and types: drop_remainder=True, tensors instead of Python numbers.",
        mistaken_for="a short warm-up: the first calls of any training compile; eager_or_retracing",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_compile",
            "compile_share",
            "The {device} is idle in {share} of the step ({time}) while the host builds graphs or compiles.",
            ("graphs_built", "compile_ms", "proof.idle_compile"),
            BOTH,
        ),
        roots=("eager_or_retracing",),
        root_is_most=True,
        symptoms=("launch_bound", "host_between_steps"),
        cures=("compiling_removed",),
        advice=compute.recompiling,
        elsewhere=others.RECOMPILING,
    ),
    Cause(
        id="eager_or_retracing",
        words="Python runs the step operation by operation, or builds its graph again and again",
        signature="Python starts single operations one by one, or graphs are built in steady steps.",
        fix="Compile without run_eagerly, put the step into one tf.function, and give it tensors of one shape.",
        mistaken_for="launch_bound and host_between_steps, which are how it shows on a GPU",
        devices=("gpu", "cpu"),
        # A GPU's trace tells it by a rule of its own; a processor's operations tell it in its steps.
        part=Part(
            "share.dispatch",
            "overhead_share",
            "In {share} of the step ({time}) Python starts single operations one by one.",
            ("eager_share", "run_eagerly"),
            frozenset({"cpu"}),
        ),
        thresholds=("eager_share", "graphs_built", "compile_share"),
        signals=("graphs_built", "share.idle_compile"),
        family="launches",
        # Python that dispatches or builds graphs is what launches late and what runs between steps.
        symptoms=("batch_too_small",),
        cures=("eager_removed", "compiling_removed"),
        weighed=True,
        advice=compute.eager_or_retracing,
    ),
    Cause(
        id="batch_too_small",
        words="the batch is too small to keep the device at work",
        signature="Kernels fill few of the multiprocessors, or a sample costs much less in a larger batch; on a "
        "processor, starting operations takes longer than running them.",
        fix="Train with a larger batch and a learning rate to match, and check that the loss still falls as before.",
        mistaken_for="launch_bound, which a larger batch helps too; eager_or_retracing",
        devices=("gpu", "cpu"),
        part=Part(
            "share.overhead",
            "overhead_share",
            "In {share} of the step ({time}) starting operations takes longer than running them.",
            ("batch_size", "share.cpu_compute"),
            frozenset({"cpu"}),
        ),
        thresholds=("sm_filled", "compute_fraction", "batch_saved", "underused"),
        signals=("kernel_fraction", "sm_efficiency", "share.gpu_compute", "gain.large_batch"),
        family="launches",
        # A larger batch makes such a loop longer.
        roots=("serial_loop",),
        root_is_most=True,
        cures=("batch_times",),
        weighed=True,
        advice=compute.batch_too_small,
    ),
    Cause(
        id="compute_bound",
        words="the device itself is the limit, which is the healthy case",
        signature="Kernels fill the time from the first to the last event of the GPU.",
        fix="Feeding it faster gains little. Make the work cheaper: mixed precision where the card has Tensor Cores, "
        "XLA to fuse kernels, or a faster card.",
        mistaken_for="what makes each kernel long: throttled, gpu_shared, batch_too_small, tensor_cores_unused; a busy "
        "meter alone proves nothing (wrong_meter)",
        devices=("gpu", "cpu"),
        thresholds=("compute_fraction", "compute_of_step", "compute_margin", "cpu_busy_share", "cpu_idle_share"),
        signals=(
            "kernel_fraction",
            "share.gpu_compute",
            "share.cpu_compute",
            "input_share",
            "utilization_percent",
            "operation_share",
            "dense_update_share",
        ),
        family="device",
        # Kernels that fill the GPU are no healthy case where something makes each of them longer than it need be.
        roots=(
            "not_on_gpu",
            "fp16_without_tensor_cores",
            "gpu_shared",
            "throttled",
            # The slowest device computes all the time, and the others wait for it.
            "straggler",
            "serial_loop",
            "batch_too_small",
            "tensor_cores_unused",
        ),
        cures=("fp16", "faster_card"),
        decided_by_trace=True,
        advice=compute.compute_bound,
    ),
    Cause(
        id="serial_loop",
        words="a loop in the model takes the samples of a batch one by one",
        signature="The step's graph holds a loop that turns as often as a batch has samples, or a tf.map_fn.",
        fix="Write the loop's body for the whole batch at once.",
        mistaken_for="compute_bound, launch_bound and batch_too_small, which are how its many small operations show; a "
        "layer that goes through time, whose turns need one another",
        devices=("gpu", "cpu"),
        thresholds=("loop_share", "loop_turns"),
        signals=("loop", "loop_share", "loop_turns", "loop_maps", "batch_size"),
        family="launches",
        symptoms=("launch_bound", "batch_too_small"),
        cures=("loop_vectorised",),
        weighed=True,
        advice=compute.serial_loop,
    ),
    Cause(
        id="tensor_cores_unused",
        words="the Tensor Cores are left unused",
        signature="The card has Tensor Cores, operations could use them, and no kernel's name shows that they did.",
        fix="Switch mixed precision on before the model is built, and keep channels multiples of 8.",
        mistaken_for="a model whose kernels are too small to gain by it (batch_too_small, launch_bound)",
        thresholds=("tensor_eligible_fraction", "tensor_used_fraction", "precision_saved"),
        signals=(
            "has_tensor_cores",
            "eligible_time_fraction",
            "tensor_core_time_fraction",
            "share.gpu_compute",
            "compute_dtype",
            "gain.mixed_precision",
        ),
        family="device",
        cures=("fp16",),
        weighed=True,
        advice=compute.tensor_cores_unused,
    ),
    Cause(
        id="fp16_without_tensor_cores",
        words="the model computes in 16 bits on a card that is not made for it",
        signature="The settings say float16 or bfloat16, and the card has no Tensor Cores.",
        fix="Stay with float32 on this card.",
        mistaken_for="nothing known: settings and card decide it",
        signals=("compute_dtype", "has_tensor_cores", "compute_capability", "share.gpu_compute"),
        family="device",
    ),
    Cause(
        id="throttled",
        words="heat or a power limit holds the clocks down",
        signature="NVML gives heat or power as the reason, and the clocks run below what the card can.",
        fix="Clean the fans and free the air flow, or raise the power limit where the card allows it.",
        mistaken_for="a card at its power limit and near its full clock, which is normal",
        thresholds=("throttled_fraction", "clocks_down"),
        signals=(
            "throttled_heat_fraction",
            "power_cap_fraction",
            "sm_clock_mhz",
            "sm_clock_peak_mhz",
            "boost_mhz",
        ),
        family="device",
    ),
    Cause(
        id="pcie_degraded",
        words="the link between host and GPU is slower than it could be",
        signature="The link never reached the generation or width that card and slot allow while the GPU worked.",
        fix="Reseat the card, use the slot next to the processor, or raise the slot's speed in the firmware.",
        mistaken_for="a card at rest, which slows its link down on purpose",
        thresholds=("pcie_part", "pcie_share", "at_rest"),
        signals=("pcie_generation_fraction", "pcie_width_fraction", "share.copy"),
        cures=("copies_hidden", "uint8_feed"),
    ),
    Cause(
        id="gpu_shared",
        words="another program uses the GPU",
        signature="NVML lists other processes on the GPU, or time in which they computed.",
        fix="Move them to another GPU, or train when they are done; nvidia-smi lists them.",
        mistaken_for="a desktop that only has the GPU open, which costs little",
        thresholds=("shared_fraction",),
        signals=("other_sm_percent", "other_gpu_processes"),
    ),
    Cause(
        id="straggler",
        words="one device is slower than the others, which wait for it",
        signature="One device comes last to the exchanges, or computes longer than the median of the others.",
        fix="Give it its equal share of the data, and look at its clocks, its heat and who else uses it.",
        mistaken_for="collective_bound: the others wait inside an exchange",
        devices=("gpu", "cpu"),
        part=Part(
            "share.idle_peer",
            "collective_share",
            "This {device} waits {share} of the step ({time}) in exchanges that another device has not reached.",
            on=BOTH,
        ),
        thresholds=("straggler_ratio", "kept_waiting_share"),
        signals=(
            "straggler_ratio",
            "straggler_share",
            "straggler_device",
            "kept_waiting_share",
            "last_to_exchanges",
        ),
    ),
    Cause(
        id="not_on_gpu",
        words="the training runs on the processor, not on the GPU",
        signature="The driver sees a GPU at rest while the training computes.",
        fix="`gpuprobe doctor` says whether TensorFlow sees the GPU, and if not, why and what to install.",
        mistaken_for="a GPU that waits for its input from start to end",
        devices=("gpu", "cpu"),
        thresholds=("at_rest", "context_mib", "reserved_mib", "at_work_cores"),
        signals=("utilization_p95_percent", "memory_peak_mib", "cpu_cores", "device_is_gpu"),
        # Nothing of the GPU's step is left once the work is there.
        symptoms=("input_bound", "launch_bound", "copy_bound", "host_between_steps", "batch_too_small"),
    ),
    Cause(
        id="wrong_meter",
        words="the meter shows something else than how busy the GPU is",
        signature="NVML's utilization is far above the share of the time in which kernels run, or what they fill.",
        fix="Judge by the time a step takes, and by the kernels' share of it.",
        mistaken_for="compute_bound, by whoever looks at the meter alone",
        thresholds=("meters_apart",),
        signals=("utilization_percent", "kernel_fraction", "sm_efficiency", "mfu"),
        condition=True,
    ),
    Cause(
        id="profiler_perturbed",
        words="the profiler slowed down what it recorded",
        signature="Traced steps take longer than timed ones.",
        fix="Trust the differential runs and the rates, which were taken without the profiler.",
        mistaken_for="launch_bound and host_between_steps, whose shares it makes larger",
        devices=("gpu", "cpu"),
        thresholds=("profiler_slowdown",),
        signals=("profiler_slowdown",),
        condition=True,
    ),
    Cause(
        id="epoch_start",
        words="what lies between the epochs takes the time",
        signature="The iterator starts again at each epoch, fills its shuffle buffer, and the first step waits for it.",
        fix="Let the iterator start once: shuffle indices or file names in place of samples, or repeat() with "
        "steps_per_epoch.",
        mistaken_for="compute_bound and input_bound, by a trace that holds steps of one epoch",
        devices=("gpu", "cpu"),
        thresholds=("epoch_start_share", "short_epoch"),
        signals=("run_share.epoch_start", "run_share.between_epochs", "run_epochs", "run_calls_per_epoch"),
        symptoms=("host_between_steps",),
    ),
    Cause(
        id="validation",
        words="validating takes the time",
        signature="Much of each epoch passes in its validation.",
        fix="Validate less often (validation_freq=5), on less (validation_steps), or in larger batches "
        "(validation_batch_size).",
        mistaken_for="a slow step: the time of an epoch holds both",
        devices=("gpu", "cpu"),
        thresholds=("validation_share",),
        signals=("run_share.validation", "run_s.validation", "run_share.evaluate", "run_s.evaluate"),
    ),
    Cause(
        id="checkpointing",
        words="saving the model takes the time",
        signature="The training waits while the weights are written.",
        fix='Save less often (save_freq="epoch"), the weights alone, or onto a faster disk.',
        mistaken_for="host_between_steps and eager_or_retracing: saving reads each weight by itself",
        devices=("gpu", "cpu"),
        thresholds=("checkpoint_share",),
        signals=("run_share.checkpoint", "run_s.checkpoint", "run_name.checkpoint"),
        family="host",
        symptoms=("host_between_steps",),
    ),
    Cause(
        id="startup",
        words="most of the run passes before its first step",
        signature="Imports, loading the data and building the model take longer than the training.",
        fix="Keep what is computed at the start: save prepared data once, and load it; import less.",
        mistaken_for="a short trial: what comes once weighs little in a long training",
        devices=("gpu", "cpu"),
        thresholds=("startup_share", "startup_s"),
        signals=("run_share.startup", "run_s.imports", "run_s.build"),
    ),
    Cause(
        id="compiled_again",
        words="models or functions that do the same are traced and compiled again",
        signature="The first call comes again and again: each new model or tf.function is traced and compiled anew.",
        fix="Build and compile the model once, and call fit again on the same one, with data of one shape.",
        mistaken_for="recompiling, where one function meets new shapes; a slow first epoch",
        devices=("gpu", "cpu"),
        thresholds=("compiled_again_share", "compiled_again"),
        signals=("run_share.first_call_again", "run_s.first_call_again", "run_times.first_call_again"),
        symptoms=("host_between_steps", "epoch_start"),
    ),
    Cause(
        id="many_small_fits",
        words="`fit` or `predict` is called in a loop for a few steps each",
        signature="Most of the time passes in what each call of fit or predict costs beside its steps.",
        fix="Call train_on_batch and predict_on_batch (or the model itself) in the loop, or fit on many samples at a "
        "time.",
        mistaken_for="batch_too_small and host_between_steps, by a trace of the few steps",
        devices=("gpu", "cpu"),
        thresholds=("many_calls", "many_calls_share", "short_epoch"),
        signals=("run_trainings", "run_calls_per_training", "run_share.fit", "run_share.predict", "run_times.predict"),
        symptoms=("host_between_steps", "epoch_start", "eager_or_retracing", "batch_too_small"),
    ),
    Cause(
        id="unattributed",
        words="no rule explains the time",
        signature="No cause takes more of the step than what nothing explains, or no evidence tells of a step.",
        fix="Trace a few steady steps: `gpuprobe watch --trace` takes them of a Keras training as it is, the Probe "
        "callback from within its code.",
        mistaken_for="any cause: it names none",
        devices=("gpu", "cpu"),
        thresholds=("unattributed_share", "root_share", "tie_points"),
        signals=("share.unattributed",),
        condition=True,
    ),
)
CAUSES: dict[CauseId, Cause] = {cause.id: cause for cause in CATALOGUE}
# The causes that a traced step's shares name, in the order in which ties are told.
BY_SHARE = tuple(cause for cause in CATALOGUE if cause.part)
STAGES: dict[str, Stage] = {
    "python_feed": Stage("Python makes the batches", ("input_free",)),
    "slow_map": Stage("the map function is slow", ("parallel_map", "input_free")),
    "no_prefetch": Stage("batches are not prepared ahead", ("prefetch", "input_free")),
    "cold_cache": Stage("the data are read from a disk", ("input_free",)),
    "shuffle_fill": Stage("the shuffle buffer is filled again", ("input_free",)),
    "dense_update": Stage(
        "the optimizer goes through all rows of a weight for the few that a batch used",
        ("rows_updated_only",),
        "compute_bound",
    ),
}


def known(cause: str) -> Cause | None:
    """Return the record of a cause, None for one that this version does not know, as of a later one's file."""
    return next((one for one in CATALOGUE if one.id == cause), None)


def same_family(cause: CauseId, other: CauseId) -> bool:
    """Whether two names may be given to one thing by kinds of evidence that see more or less of it."""
    family = CAUSES[cause].family
    return cause == other or (family is not None and family == CAUSES[other].family)
