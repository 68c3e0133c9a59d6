"""One run in a process of its own: builds, warms up, times a window, traces, and writes events as they happen."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuprobe import known_bugs
from gpuprobe.backends.importing import uncollected
from gpuprobe.backends.known import TENSORFLOW
from gpuprobe.errors import in_short
from gpuprobe.measure.event_log import EventLog
from gpuprobe.measure.gate import Gate
from gpuprobe.recording import LOG_FILE, SPEC_FILE, TRACE_FOLDER
from gpuprobe.records import RunSpec, load

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from gpuprobe.measure.worker_role import WorkerRole
    from gpuprobe.records import State
    from gpuprobe.strategies.driving import Feed
    from gpuprobe.strategies.plan import Machine, Plan
    from gpuprobe.workloads.workload import Workload

# Out-of-memory errors: their classes in TensorFlow and PyTorch, and the word that XLA's errors in JAX contain.
OUT_OF_MEMORY = frozenset({"ResourceExhaustedError", "OutOfMemoryError"})
JAX_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
# TensorFlow's error where XLA has no kernel for an operation, such as those on text (tf2xla's graph check).
UNSUPPORTED_BY_XLA = "unsupported operations when trying to compile"


def run(folder: Path) -> int:
    """Carry out the run of the folder's `spec.json`; return the exit code of the process.

    All output of the backend goes to `log.txt` beside it. A failure is written as an event before the process ends.
    """
    log_file = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    log = EventLog(folder)
    log.write("phase", name="start")
    try:
        spec = load(RunSpec, folder / SPEC_FILE)
        if spec.job and spec.job.role != "trains":
            from gpuprobe.measure.tf_data_service import serve

            serve(spec.job, log)
        _train(spec, folder, log)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the training raises is the outcome of this run
        traceback.print_exc()
        log.write("error", state=_state(error), message=in_short(error))
        return 1
    log.write("done")
    return 0


@dataclass(frozen=True)
class _Built:
    """A run that is ready to train; `train_step` is the model's own, `traced_batch` the dict of `compiled`."""

    role: WorkerRole
    machine: Machine
    plan: Plan
    model: keras.Model
    train_step: Callable[..., Any]
    traced_batch: dict[str, Any]
    feed: Feed


def _train(spec: RunSpec, folder: Path, log: EventLog) -> None:
    built = _build(spec, log)
    if built.role.leads:
        _measure(spec, folder, log, built)
    else:
        log.write("phase", name="warmup")
        built.role.follow(built.model, built.feed, folder / TRACE_FOLDER)


def _build(spec: RunSpec, log: EventLog) -> _Built:
    # The backend is imported here, in the worker, and nowhere else.
    with uncollected():
        import keras

        from gpuprobe.measure.compiled import compiled
        from gpuprobe.measure.devices import halve_gradients, with_learning_rate
        from gpuprobe.measure.faults import inject
        from gpuprobe.measure.first_weights import share_weights
        from gpuprobe.measure.machine import inspect_machine
        from gpuprobe.measure.worker_role import WorkerRole
        from gpuprobe.strategies import feeds, registry

    log.write("phase", name="build")
    _leave_gpus_to(spec.backend)
    member = WorkerRole(spec, log)
    workload = inject(spec, _workload(spec))
    machine = inspect_machine(workload, member.backend)
    plan = registry.plan(spec.strategy, spec.batch_size, machine, spec.combines, spec.start, spec.backend)
    keras.utils.set_random_seed(spec.seed)
    keras.mixed_precision.set_global_policy(plan.dtype_policy)
    with member.scope(plan):
        model, traced_batch = compiled(workload, plan, member.backend)
    if plan.half_gradients:
        halve_gradients(model)
    train_step = model.train_step
    workload = with_learning_rate(workload, model, plan.rate_times)
    feed = feeds.make(plan, workload, spec.seed, shared=bool(spec.shared), job=spec.job)
    for note in (*plan.notes, *feed.notes, *share_weights(model, spec.shared)):
        log.write("note", text=note)
    feed.adapt(model)
    member.use_custom_train_function(model, plan)
    return _Built(member, machine, plan, model, train_step, traced_batch, feed)


def _measure(spec: RunSpec, folder: Path, log: EventLog, built: _Built) -> None:
    import keras

    from gpuprobe.measure.run_phases import RunPhases
    from gpuprobe.measure.train_function import TimedTrainFunction
    from gpuprobe.strategies import driving

    plan, model, feed = built.plan, built.model, built.feed
    traced_batch, backend = built.traced_batch, built.role.backend
    run_phases = RunPhases(spec, plan.steps_per_execution, trace=spec.trace_steps > 0, epoch_calls=feed.epoch_calls)
    samples_per_call = plan.batch_size * plan.steps_per_execution

    def on_first_call() -> None:
        replicas = plan.replicas * plan.workers
        batch_size = replicas * (traced_batch.get("batch_size") or plan.batch_size // replicas)
        log.write("settings", settings=backend.settings(model, batch_size, traced_batch["feed_dtype"]))
        log.write("loops", loops=backend.loops())
        if note := backend.compiled_in_part():
            log.write("note", text=note)
        gc.enable()

    timed_train_function = TimedTrainFunction(
        run_phases, backend, log, folder / TRACE_FOLDER, samples_per_call, Gate(folder), on_first_call
    )
    timed_train_function.attach(model)
    log.write("phase", name="warmup")
    # In the first call Python builds the graph: its many objects stay, so garbage collection would find nothing.
    gc.disable()
    feed.warm()
    epoch_callback = keras.callbacks.LambdaCallback(on_epoch_begin=lambda _epoch, _logs: run_phases.epoch_began())
    with known_bugs.explained(model):
        feed.train(model, 0, driving.ENDLESS, [epoch_callback])
    built.role.end()
    if built.machine.has_gpu and plan.replicas == plan.workers == 1:
        # The count is useful only where the device's peak is known, which is so for GPUs.
        _log_flop(
            log, lambda: backend.step_flop(built.train_step, model, traced_batch["data"]), traced_batch["batch_size"]
        )


def _leave_gpus_to(backend: str) -> None:
    """Keep TensorFlow off the GPUs where another backend trains: Keras imports it, and a feed may use tf.data."""
    if backend != TENSORFLOW and "tensorflow" in sys.modules:
        from gpuprobe.workloads.tensorflow_data import tensorflow

        tensorflow()


def _log_flop(log: EventLog, count: Callable[[], float | None], batch_size: int) -> None:
    try:
        flop = count()
    except Exception:  # noqa: BLE001 - a run that was measured must not be lost for want of a count
        traceback.print_exc()
        flop = None
    log.write("flop", per_sample=flop / batch_size if flop else None)


def _workload(spec: RunSpec) -> Workload:
    from gpuprobe.workloads.arrays import load_arrays
    from gpuprobe.workloads.cifar import resnet_on_cifar
    from gpuprobe.workloads.resolve import resolve

    if spec.model:
        return resolve(spec.model)
    return resnet_on_cifar(load_arrays(Path(spec.data)), depth=spec.depth, batch_size=spec.batch_size)


def _state(error: BaseException) -> State:
    map_refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    memory_exhausted = type(error).__name__ in OUT_OF_MEMORY or JAX_OUT_OF_MEMORY in str(error)
    if map_refused or memory_exhausted or isinstance(error, MemoryError):
        return "out_of_memory"
    return "skipped" if UNSUPPORTED_BY_XLA in str(error) else "failed"


if __name__ == "__main__":
    ended = run(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Exit even if the user's code has left a thread running, as forked workers do.
    os._exit(ended)
