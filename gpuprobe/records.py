"""The frozen records that pass from stage to stage, and their JSON.

Every stage after the measuring is a function of these, so it can run again later, on another machine, without
a GPU and without TensorFlow. Units live in the names: `_ns`, `_s`, `_ms`, `_w`, `_j`, `_mib`, `_fraction`
(0 to 1), `_per_s`. All times are nanoseconds since the Unix epoch, the clock of current TensorFlow traces.

Schema history
1  first version: runs, studies, evidence, findings
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from gpuprobe.errors import InputError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1

Confidence = Literal["high", "medium", "low"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records: immutable, built by keyword, saved as JSON."""


class Signal(Record, frozen=True, kw_only=True):
    """One named piece of evidence: a value with unit, source and spread, or the reason why it is missing.

    `low` and `high` are p5 and p95 of a level, or the 95 % range of an estimate; `median` is p50.
    """

    name: str
    unit: str
    source: str
    value: float | str | bool | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    missing: str | None = None
    median: float | None = None


class Evidence(Record, frozen=True, kw_only=True):
    """All signals known about one run or trace, in the order in which they were gathered."""

    signals: tuple[Signal, ...] = ()

    def get(self, name: str) -> Signal | None:
        """Return the signal of that name, or None where nobody gathered it."""
        return next((signal for signal in self.signals if signal.name == name), None)

    def number(self, name: str) -> float | None:
        """Return the value of a signal that is a number, None where it is missing or none."""
        signal = self.get(name)
        known = signal is not None and isinstance(signal.value, int | float) and not isinstance(signal.value, bool)
        return float(signal.value) if known and signal is not None and signal.value is not None else None

    def text(self, name: str) -> str:
        """Return the value of a signal that is a text, empty where it is missing or none."""
        signal = self.get(name)
        return signal.value if signal is not None and isinstance(signal.value, str) else ""

    def flag(self, name: str) -> bool | None:
        """Return the value of a signal that is true or false, None where it is missing or neither."""
        signal = self.get(name)
        return signal.value if signal is not None and isinstance(signal.value, bool) else None

    def lacking(self, *names: str) -> str | None:
        """Return the reason why the first of these signals without a value has none; None where all have one."""
        for name in names:
            signal = self.get(name)
            if signal is None:
                return f"{name} was not gathered"
            if signal.value is None:
                return f"{name}: {signal.missing or 'it has no value'}"
        return None

    def numbers(self, *names: str) -> tuple[float, ...]:
        """Return the numbers of these signals, of which `lacking` has said before that none lacks its value."""
        values = [self.number(name) for name in names]
        assert None not in values, f"not all of {', '.join(names)} are numbers"
        return tuple(value for value in values if value is not None)

    def only(self, *names: str) -> tuple[Signal, ...]:
        """Return those of these signals that have a value, in this order: what is missing proves nothing."""
        found = (self.get(name) for name in names)
        return tuple(signal for signal in found if signal is not None and signal.value is not None)


class Gain(Record, frozen=True, kw_only=True):
    """A speed-up as the ratio old step time / new step time, with its 95 % range where one is known."""

    ratio: float
    low: float | None = None
    high: float | None = None


class Finding(Record, frozen=True, kw_only=True):
    """One cause, as the report prints it. `cause` is an id of the design's list; exactly one is `primary`.

    `severity` is the share of the step's wall time that the cause explains (0 to 1).
    """

    cause: str
    primary: bool
    severity: float
    confidence: Confidence
    claim: str
    evidence: tuple[Signal, ...]
    fix: str
    stage: str | None = None
    code: str = ""
    ties_with: str | None = None
    symptom_of: str | None = None
    predicted_gain: Gain | None = None
    measured_gain: Gain | None = None


class NotEvaluated(Record, frozen=True, kw_only=True):
    """A rule that could not be decided, and the signal that was missing."""

    cause: str
    reason: str


# --- what a study asks for -------------------------------------------------------------------------------------


class StrategyInfo(Record, frozen=True, kw_only=True):
    """A strategy as the report names it: its sentence, what it is compared with, and the one thing it changes.

    `what_if` names the change that predicts its gain from the trace of the strategy it is compared with.
    """

    name: str
    sentence: str
    against: str | None = None
    change: str = ""
    combines: bool = False
    what_if: str = ""


class RunSpec(Record, frozen=True, kw_only=True):
    """All that one worker process is asked to do; the parent writes it before the process starts.

    The timed window ends after `steps` steps where given, else after `window_s` seconds, or earlier (but never
    before `window_min_s`) once the 95 % interval of its blocks is narrower than `precise_fraction` of the rate.
    `model` names the workload as `gpuprobe run --model` does; empty is the ResNet of `depth` on the images in `data`.
    `step` counts the runs of a strategy that is found by a search, from 1; 0 is no step of one.
    """

    strategy: str
    round: int
    seed: int
    batch_size: int
    depth: int = 20
    window_s: float = 10.0
    window_min_s: float = 3.0
    precise_fraction: float = 0.01
    steps: int | None = None
    trace_steps: int = 4
    data: str = ""
    model: str = ""
    combines: tuple[str, ...] = ()
    step: int = 0
    inject: tuple[str, ...] = ()


class GpuInfo(Record, frozen=True, kw_only=True):
    """One NVIDIA GPU as the driver describes it; `facts` holds what else it told, by the names of `telemetry.facts`."""

    index: int
    name: str
    uuid: str = ""
    pci_bus_id: str = ""
    compute_capability: str = ""
    memory_mib: float | None = None
    facts: dict[str, str | float | bool] = {}


class Environment(Record, frozen=True, kw_only=True):
    """Where a study ran. `no_gpu` is the one-line reason where TensorFlow trained without a GPU."""

    system: str
    python: str
    cpu: str
    cores: int
    memory_mib: float
    versions: dict[str, str]
    gpus: tuple[GpuInfo, ...] = ()
    driver: str = ""
    cuda: str = ""
    no_gpu: str | None = None
    simulated: bool = False


class Request(Record, frozen=True, kw_only=True):
    """What the user asked `gpuprobe run` for; `--resume` goes on with it.

    `data` is `auto`, `cifar10`, `synthetic` or a path; `samples` caps the training set. Exactly `steps` or `epochs`
    are timed where given, else as long as the budget allows. A run that shows no sign of life for `limit_s` is
    ended. `model` is as in `RunSpec`; a `batch_size` of 0 asks for the workload's own. A search tries at most
    `search_steps` changes on top of the first where given, else all that gained by themselves.
    """

    rounds: int
    budget_s: float
    batch_size: int
    seed: int
    depth: int = 20
    model: str = ""
    data: str = "auto"
    samples: int | None = None
    steps: int | None = None
    epochs: int | None = None
    trace_steps: int = 4
    limit_s: float = 180.0
    quick: bool = False
    search_steps: int | None = None
    inject: tuple[str, ...] = ()


class Study(Record, frozen=True, kw_only=True):
    """All runs of one `gpuprobe run`: what was asked, where, and in which order; `runs/` lies beside it."""

    schema: int = SCHEMA
    name: str
    created_ns: int
    command: str
    environment: Environment
    workload: str
    data_name: str
    data_source: str
    batch_size: int
    train_samples: int
    epoch_samples: int
    strategies: tuple[StrategyInfo, ...]
    request: Request
    notes: tuple[str, ...] = ()


# --- what a run measured ---------------------------------------------------------------------------------------

# `warmup` is up to the end of the first call, which traces and compiles; `held` the wait for a quiet machine;
# `settle` the calls after it until they are steady; `window` the timed steps; `rest` what a training that nobody
# planned does after them.
PhaseName = Literal["start", "build", "warmup", "held", "settle", "window", "trace", "rest"]
State = Literal["done", "failed", "out_of_memory", "killed", "timeout", "interrupted", "skipped"]


class Settings(Record, frozen=True, kw_only=True):
    """The effective settings of a run, read back from TensorFlow and Keras, never assumed.

    `gpu_pci_bus_id` is where CUDA says that TensorFlow's first GPU lies; empty where there is none.
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
    gpu_pci_bus_id: str = ""


class Phase(Record, frozen=True, kw_only=True):
    """One part of a run; `call_ends_ns` are the ends of the calls of the train function, each of so many steps."""

    name: PhaseName
    start_ns: int
    end_ns: int
    call_ends_ns: tuple[int, ...] = ()
    steps_per_call: int = 1


class LossPoint(Record, frozen=True, kw_only=True):
    """The training loss, averaged over the samples since the point before, after so many samples were seen."""

    samples: int
    loss: float


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

    Peak memory is in MiB: of the process for the host, of TensorFlow's allocator for the device. `flop_per_sample` is
    TensorFlow's own count for one sample of a training step, None where it was not counted.
    """

    schema: int = SCHEMA
    spec: RunSpec
    outcome: Outcome
    settings: Settings | None = None
    phases: tuple[Phase, ...] = ()
    losses: tuple[LossPoint, ...] = ()
    trace: TraceInfo | None = None
    host_peak_mib: float | None = None
    device_peak_mib: float | None = None
    flop_per_sample: float | None = None
    notes: tuple[str, ...] = ()

    def phase(self, name: PhaseName) -> Phase | None:
        """Return the phase of that name, or None where the run did not come so far."""
        return next((phase for phase in self.phases if phase.name == name), None)


# --- what `gpuprobe watch` saw ----------------------------------------------------------------------------------


class ThreadUse(Record, frozen=True, kw_only=True):
    """CPU seconds that one thread of the watched tree used while it was looked at, from first to last look."""

    pid: int
    tid: int
    name: str
    cpu_s: float
    seen_s: float


class Watch(Record, frozen=True, kw_only=True):
    """One command that was watched: `watch.json`, beside its `telemetry.csv`.

    It is saved when the command starts and again when it has ended: without `ended_ns` the watcher was killed
    before. `cpu_limit` is how many processors the command may use, by affinity and container, in cores.
    """

    schema: int = SCHEMA
    name: str
    command: tuple[str, ...]
    started_ns: int
    ended_ns: int | None = None
    outcome: Outcome | None = None
    environment: Environment | None = None
    cpu_limit: float | None = None
    threads: tuple[ThreadUse, ...] = ()
    notes: tuple[str, ...] = ()


AnyRecord = TypeVar("AnyRecord", bound=Record)


def to_json(record: Record | Any) -> bytes:
    """Encode a record as indented JSON that ends with a newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def save(record: Record, path: Path) -> None:
    """Write a record with `write_whole`. Raises OutputError where the file cannot be written."""
    write_whole(path, to_json(record))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a half.

    Raises OutputError where it cannot be written; the old file is then as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        # On a full disk the half that was written would take the room of what comes next.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def load(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """Read a record back.

    Raises InputError where the file is missing, damaged, of another kind, or from a newer gpuprobe.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        schema = msgspec.json.decode(data, type=_Versioned).schema
        if schema is not None and schema > SCHEMA:
            raise InputError(
                f"{path}: written by a newer gpuprobe (schema {schema}, this one reads up to {SCHEMA}); "
                "upgrade with: pip install --upgrade gpuprobe"
            )
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: not a {kind.__name__.lower()} record of gpuprobe ({error})") from error


class _Versioned(msgspec.Struct):
    schema: int | None = None
