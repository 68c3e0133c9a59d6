"""A whole training in a process of its own: epochs, test set, checkpoints, best weights; can be killed at any time.

`python -m gpuprobe.measure.training FOLDER` reads `training.json` there and resumes from `checkpoint.npz` where there
is one. An epoch's order depends only on the seed and the epoch, so a resumed training gives the same curve as an
uninterrupted one: bit by bit on the CPU; on a GPU up to its nondeterministic kernels.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gpuprobe import wording
from gpuprobe.backends.importing import uncollected
from gpuprobe.errors import GpuprobeError, OutputError, in_short
from gpuprobe.measure.checkpoint import (
    BEST_FILE,
    CHECKPOINT_FILE,
    EpochRow,
    restore,
    save_best,
    save_checkpoint,
    save_curves,
)
from gpuprobe.measure.losses import finite_or_none
from gpuprobe.measure.wall import WallClock, process_started_ns
from gpuprobe.records import Record, load, save

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from gpuprobe.strategies.driving import Feed
    from gpuprobe.workloads.source import ArraySource

SPEC_FILE = "training.json"
# The file with the whole-run breakdown of the training's latest process.
WALL_FILE = "wall.json"
TEST_BATCH = 256


class TrainingSpec(Record, frozen=True, kw_only=True):
    """The options of `gpuprobe train`; `arrays` is the folder of the images, made anew at each start.

    `images` names the data set that the training began with.
    """

    epochs: int
    strategy: str
    batch_size: int
    seed: int
    depth: int
    data: str
    arrays: str = ""
    combines: tuple[str, ...] = ()
    start: str = ""
    samples: int | None = None
    images: str = ""
    backend: str = "tensorflow"


class Failure(Record, frozen=True, kw_only=True):
    """Why a training ended early, in one line, and its exit code."""

    error: str
    exit_code: int


@dataclass(frozen=True)
class _Built:
    """A training that is ready to start: its model, its feed, and the test set."""

    model: keras.Model
    feed: Feed
    test: ArraySource


def run(folder: Path, report_row: Callable[[EpochRow], Any]) -> None:
    """Train to the end; `report_row` gets each row as it is done, first those from before an interruption."""
    started_ns = process_started_ns()
    clock = WallClock("imports", started_ns)
    spec = load(TrainingSpec, folder / SPEC_FILE)
    built = _build(spec, clock)
    rows = restore(built.model, folder)
    # A kill may have come between the checkpoint and its curves, so write them again.
    save_curves(rows, folder)
    for row in rows:
        report_row(row)
    built.feed.warm()
    _time_first_call(built.model, clock)
    for epoch in range(len(rows), spec.epochs):
        rows.append(_epoch(built, epoch, spec.seed, clock))
        if rows[-1].test_accuracy > max((row.test_accuracy for row in rows[:-1]), default=-1.0):
            clock.begin("checkpoint", BEST_FILE)
            save_best(built.model, folder)
        clock.begin("checkpoint", CHECKPOINT_FILE)
        save_checkpoint(built.model, rows, folder)
        clock.begin("between_epochs")
        save(clock.wall(started_ns, complete=epoch + 1 == spec.epochs), folder / WALL_FILE)
        report_row(rows[-1])


def _build(spec: TrainingSpec, clock: WallClock) -> _Built:
    """Import the backend, and build model, feed and test set; the clock counts the two apart."""
    # The backend is imported here, in the worker, and nowhere else.
    with uncollected():
        import keras

        from gpuprobe.backends.backend import current
        from gpuprobe.measure.compiled import compiled
        from gpuprobe.measure.machine import inspect_machine
        from gpuprobe.strategies import feeds, registry
        from gpuprobe.workloads.arrays import load_arrays
        from gpuprobe.workloads.cifar import resnet_on_cifar
        from gpuprobe.workloads.source import ArraySource, mapped

    clock.begin("build")
    images = load_arrays(Path(spec.arrays))
    workload = resnet_on_cifar(images, depth=spec.depth, batch_size=spec.batch_size)
    backend = current()
    machine = inspect_machine(workload, backend)
    plan = registry.plan(spec.strategy, spec.batch_size, machine, spec.combines, spec.start, spec.backend)
    keras.utils.set_random_seed(spec.seed)
    keras.mixed_precision.set_global_policy(plan.dtype_policy)
    model, _ = compiled(workload, plan, backend)
    feed = feeds.make(plan, workload, spec.seed)
    feed.adapt(model)
    test = mapped(workload, ArraySource(parts=(images.x_test, images.y_test)))
    return _Built(model, feed, test)


def _time_first_call(model: keras.Model, clock: WallClock) -> None:
    """Time the first call of the train function, which traces and compiles it."""
    model.make_train_function()
    train_function = model.train_function

    def timed_first_call(*args: Any) -> Any:
        model.train_function = train_function
        former = clock.begin("first_call")
        logs = train_function(*args)
        clock.resume(former)
        return logs

    model.train_function = timed_first_call


def _epoch(built: _Built, epoch: int, seed: int, clock: WallClock) -> EpochRow:
    """Train for one epoch (from 0), and evaluate the model on the test set."""
    import keras

    # Seed Keras's own shuffles for each epoch, so that they do not depend on what ran before.
    keras.utils.set_random_seed(seed + 1000 * (epoch + 1))
    train_logs: dict[str, float] = {}
    note_logs = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, logs: train_logs.update(logs))
    clock.begin("steps", times=0)
    started = time.perf_counter()
    built.feed.train(built.model, epoch, epoch + 1, [note_logs])
    seconds = time.perf_counter() - started
    clock.begin("validation")
    x, y = built.test.parts
    test_logs = built.model.evaluate(x, y, batch_size=TEST_BATCH, verbose=0, return_dict=True)
    return EpochRow(
        epoch=epoch + 1,
        train_loss=finite_or_none(float(train_logs["loss"])),
        train_accuracy=float(train_logs["accuracy"]),
        test_loss=finite_or_none(float(test_logs["loss"])),
        test_accuracy=float(test_logs["accuracy"]),
        learning_rate=float(built.model.optimizer.learning_rate),
        epoch_s=seconds,
    )


def main(folder: Path) -> int:
    """Train, and print one JSON line for each epoch on stdout, or a `Failure`; all other output goes to log.txt."""
    rows_descriptor = os.dup(1)
    log_file = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    try:
        run(folder, lambda row: os.write(rows_descriptor, msgspec.json.encode(row) + b"\n"))
    except Exception as error:  # noqa: BLE001 - whatever the training raises is told
        os.write(rows_descriptor, msgspec.json.encode(_failure(error, folder)) + b"\n")
        with suppress(OSError):
            traceback.print_exc()
        return 1
    return 0


def _failure(error: Exception, folder: Path) -> Failure:
    if isinstance(error, GpuprobeError):
        return Failure(error=str(error), exit_code=error.exit_code)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
        again = wording.command("gpuprobe", "train", "--resume", folder)
        words = f"{folder}: cannot be written ({error.strerror}); make room, then {again}"
        return Failure(error=words, exit_code=OutputError.exit_code)
    return Failure(error=f"{folder}: the training failed: {in_short(error)}", exit_code=1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
