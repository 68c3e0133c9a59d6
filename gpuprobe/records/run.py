"""What a run measured: `run.json`."""

from __future__ import annotations

from typing import Literal

from gpuprobe.records.base import SCHEMA, Record
from gpuprobe.records.study import RunSpec
from gpuprobe.records.wall import Wall
from gpuprobe.units import NS_PER_S

# `warmup` is up to the end of the first call, which traces and compiles; `held` the wait for other runs;
# `settle` the calls after it until they are steady; `window` the timed steps; `rest` what a training that nobody
# planned does after them. Runs that take turns are `paused` between their turns; `refill` is what the pipeline had
# ready by then, and `turn` the timed steps after it.
PhaseName = Literal["start", "build", "warmup", "held", "settle", "window", "trace", "rest", "paused", "refill", "turn"]
# `unreadable` is what the record of a run that cannot be read back stands for; no run ends so by itself.
State = Literal["done", "failed", "out_of_memory", "killed", "timeout", "interrupted", "skipped", "unreadable"]


class Settings(Record, frozen=True, kw_only=True):
    """The effective settings of a run, read back from Keras and its backend, never assumed.

    `gpu_pci_bus_id` is where CUDA says that the backend's first GPU lies; empty where there is none. `batch_size` is
    that of all `replicas` together; `trainable_mib` is what their gradients are large, None where it was not read.
    `functions_eagerly` says that TensorFlow was told to run every `tf.function` operation by operation.
    `distribution_devices` are those that `keras.distribution` was given, 0 where it was not used. `threads_spin` says
    that the threads of an operation use their cores while they wait for each other; None where that is not known.
    """

    device: str
    dtype_policy: str
    compute_dtype: str
    jit_compile: bool
    batch_size: int
    feed_dtype: str
    steps_per_execution: int
    optimizer: str
    intra_op_threads: int
    inter_op_threads: int
    onednn: bool | None
    tf32: bool | None
    run_eagerly: bool = False
    functions_eagerly: bool = False
    gpu_pci_bus_id: str = ""
    backend: str = "tensorflow"
    replicas: int = 1
    trainable_mib: float | None = None
    distribution_devices: int = 0
    threads_spin: bool | None = None


class CallbackSetting(Record, frozen=True, kw_only=True):
    """A setting of a callback, which has the class `callback`, by the name of the argument that sets it."""

    callback: str
    name: str
    value: bool | int | str


class Given(Record, frozen=True, kw_only=True):
    """What `fit` was given, as far as could be seen; empty or None where it was not.

    `data_kind` is what the batches come from, `data_workers` how many a PyDataset has; `callbacks` are the user's own,
    by the names of their classes, and `callback_settings` those of their settings that cost time. `validation_freq` and
    `validation_steps` are the arguments. `samples_vary` says that samples differ in their shape. `own_loop` says that
    no `fit` was called: the steps are those of a loop in the script.
    """

    data_kind: str = ""
    data_workers: int | None = None
    epochs: int | None = None
    verbose: int | None = None
    callbacks: tuple[str, ...] | None = None
    callback_settings: tuple[CallbackSetting, ...] = ()
    validation_freq: int | None = None
    validation_steps: int | None = None
    samples_vary: bool | None = None
    own_loop: bool = False


class GraphLoop(Record, frozen=True, kw_only=True):
    """A loop in the graph of a step, by the path of its scopes, and its iterations in a step (`turns`).

    `started_fraction` is its share of the operations that a step starts (0 to 1), its backward pass included. Both are
    None where the graph does not fix the number of iterations. `serial` says that an iteration needs the one before,
    `linear` that it only scales results of that one and adds to them.
    """

    path: str
    turns: float | None = None
    started_fraction: float | None = None
    serial: bool = False
    linear: bool = False


class CoreUse(Record, frozen=True, kw_only=True):
    """How the thread that trains used the processor in `seconds` of training, by the kernel's counters (proc(5)).

    It ran for `cpu_s`, and could have run for `waited_s` more if a core had been free. It gave up its core `sleeps`
    times. The other threads of its process used `others_cpu_s`.
    """

    seconds: float
    cpu_s: float
    waited_s: float
    sleeps: int
    others_cpu_s: float


class Phase(Record, frozen=True, kw_only=True):
    """One part of a run; `call_ends_ns` are the ends of the calls of the train function, each of so many steps.

    Timed phases of several runs that took turns have the same number of the `lap`, from 1; 0 is none. `disturbed` says
    what disturbed one, empty where nothing was seen.
    """

    name: PhaseName
    start_ns: int
    end_ns: int
    call_ends_ns: tuple[int, ...] = ()
    steps_per_call: int = 1
    lap: int = 0
    disturbed: str = ""

    @property
    def steps(self) -> int:
        """How many steps its calls ran."""
        return len(self.call_ends_ns) * self.steps_per_call

    @property
    def steps_per_s(self) -> float | None:
        """The pace from its begin to the end of its last call, None where no call ended."""
        return self.steps / ((self.call_ends_ns[-1] - self.start_ns) / NS_PER_S) if self.call_ends_ns else None


class LossPoint(Record, frozen=True, kw_only=True):
    """The training loss, averaged over the samples since the point before, after so many samples were seen.

    It is None where it was no finite number, as of a training that diverged.
    """

    samples: int
    loss: float | None


class TraceInfo(Record, frozen=True, kw_only=True):
    """The profiler's trace of a run; `slowdown` is the median traced step over the median timed step."""

    path: str | None
    steps: int = 0
    slowdown: float | None = None
    missing: str | None = None


class Outcome(Record, frozen=True, kw_only=True):
    """How a run ended, with the one line that says why where it did not end well."""

    state: State
    message: str = ""
    exit_code: int | None = None


class Run(Record, frozen=True, kw_only=True):
    """One strategy measured once in a fresh process: `run.json` of its recording.

    Peak memory is in MiB: of the process for the host, of the backend's allocator for the device. `flop_per_sample` is
    the backend's own count for one sample of a training step, None where it was not counted. `outside_fraction` is the
    share of the timed window outside the train function, None where that was not timed. `wall` is where the
    wall time of a training went that was watched; that of a planned run is told by its phases. `loops` are those of the
    step's graph, None where the backend did not show it. `core_use` is known only of a training that was watched.
    """

    schema: int = SCHEMA
    spec: RunSpec
    outcome: Outcome
    settings: Settings | None = None
    given: Given | None = None
    phases: tuple[Phase, ...] = ()
    losses: tuple[LossPoint, ...] = ()
    trace: TraceInfo | None = None
    host_peak_mib: float | None = None
    device_peak_mib: float | None = None
    flop_per_sample: float | None = None
    outside_fraction: float | None = None
    notes: tuple[str, ...] = ()
    wall: Wall | None = None
    loops: tuple[GraphLoop, ...] | None = ()
    core_use: CoreUse | None = None

    def phase(self, name: PhaseName) -> Phase | None:
        """Return the phase of that name, or None where the run did not come so far."""
        return next((phase for phase in self.phases if phase.name == name), None)

    @property
    def is_measured(self) -> bool:
        """Whether its timed window was over, however it ended later: then it counts."""
        return self.outcome.state == "done" or (self.phase("window") is not None and self.phases[-1].name != "window")
