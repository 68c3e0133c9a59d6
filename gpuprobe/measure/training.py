"""A whole training in a process of its own: epochs, test set, checkpoints, best weights; can be killed at any time.

`python -m gpuprobe.measure.training FOLDER` reads `training.json` there and resumes from `checkpoint.npz` where there
is one. An epoch's order depends only on the seed and the epoch, so a resumed training gives the same curve as an
uninterrupted one: bit by bit on the CPU; on a GPU up to its nondeterministic kernels.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import sys
import time
import traceback
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gpuprobe import wording
from gpuprobe.errors import GpuprobeError, InputError, OutputError, in_short
from gpuprobe.measure.losses import finite
from gpuprobe.measure.wall import WallClock, process_started_ns
from gpuprobe.records import Record, load, save

if TYPE_CHECKING:
    import keras

    from gpuprobe.workloads.arrays import Arrays
    from gpuprobe.workloads.source import ArraySource
    from gpuprobe.workloads.workload import Workload

SPEC_FILE = "training.json"
CHECKPOINT_FILE = "checkpoint.npz"
CURVES_FILE = "curves.csv"
BEST_FILE = "best.keras"
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


class EpochRow(Record, frozen=True, kw_only=True):
    """One epoch, from 1: losses and accuracies (0 to 1) on training and test set, and the seconds it trained for.

    A loss is None where it is no finite number.
    """

    epoch: int
    train_loss: float | None
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float
    learning_rate: float
    epoch_s: float


def run(folder: Path, tell: Any) -> None:
    """Train to the end; `tell` gets each row as it is done, first those from before an interruption."""
    started_ns = process_started_ns()
    clock = WallClock("imports", started_ns)
    # The backend is imported here, in the worker, and nowhere else.
    import keras

    from gpuprobe.backends.backend import current
    from gpuprobe.measure.compiled import compiled
    from gpuprobe.measure.machine import inspect
    from gpuprobe.strategies import feeds, registry
    from gpuprobe.workloads.arrays import load_arrays
    from gpuprobe.workloads.cifar import resnet_on_cifar

    clock.to("build")
    spec = load(TrainingSpec, folder / SPEC_FILE)
    images = load_arrays(Path(spec.arrays))
    workload = resnet_on_cifar(images, depth=spec.depth, batch_size=spec.batch_size)
    backend = current()
    machine = inspect(workload, backend)
    plan = registry.plan(spec.strategy, spec.batch_size, machine, spec.combines, spec.start, spec.backend)
    keras.utils.set_random_seed(spec.seed)
    keras.mixed_precision.set_global_policy(plan.dtype_policy)
    model, _ = compiled(workload, plan, backend)
    feed = feeds.make(plan, workload, spec.seed)
    feed.adapt(model)
    test = _test_set(workload, images)
    rows = _restore(model, folder)
    # A kill may have come between the checkpoint and its curves, so write them again.
    _save_curves(rows, folder)
    for row in rows:
        tell(row)
    feed.warm()
    _tell_first_call(model, clock)
    for epoch in range(len(rows), spec.epochs):
        # Seed Keras's own shuffles for each epoch, so that they do not depend on what ran before.
        keras.utils.set_random_seed(spec.seed + 1000 * (epoch + 1))
        rows.append(_epoch(model, feed, test, epoch, clock))
        if rows[-1].test_accuracy > max((row.test_accuracy for row in rows[:-1]), default=-1.0):
            clock.to("checkpoint", BEST_FILE)
            _save_best(model, folder)
        clock.to("checkpoint", CHECKPOINT_FILE)
        _save(model, rows, folder)
        clock.to("between_epochs")
        save(clock.wall(started_ns, complete=epoch + 1 == spec.epochs), folder / WALL_FILE)
        tell(rows[-1])


def _tell_first_call(model: keras.Model, clock: WallClock) -> None:
    """Time the first call of the train function, which traces and compiles it."""
    model.make_train_function()
    call = model.train_function

    def first(*given: Any) -> Any:
        model.train_function = call
        former = clock.to("first_call")
        logs = call(*given)
        clock.back(former)
        return logs

    model.train_function = first


def _epoch(model: keras.Model, feed: Any, test: ArraySource, epoch: int, clock: WallClock) -> EpochRow:
    import keras

    seen: dict[str, float] = {}
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, logs: seen.update(logs))
    clock.to("steps", times=0)
    started = time.perf_counter()
    feed.train(model, epoch, epoch + 1, [note])
    seconds = time.perf_counter() - started
    clock.to("validation")
    x, y = test.parts
    tested = model.evaluate(x, y, batch_size=TEST_BATCH, verbose=0, return_dict=True)
    return EpochRow(
        epoch=epoch + 1,
        train_loss=finite(float(seen["loss"])),
        train_accuracy=float(seen["accuracy"]),
        test_loss=finite(float(tested["loss"])),
        test_accuracy=float(tested["accuracy"]),
        learning_rate=float(model.optimizer.learning_rate),
        epoch_s=seconds,
    )


def _test_set(workload: Workload, images: Arrays) -> ArraySource:
    from gpuprobe.workloads.source import ArraySource, mapped

    return mapped(workload, ArraySource(parts=(images.x_test, images.y_test)))


def _state(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _restore(model: keras.Model, folder: Path) -> list[EpochRow]:
    import numpy as np

    try:
        with np.load(folder / CHECKPOINT_FILE) as saved:
            for place, variable in enumerate(_state(model)):
                variable.assign(saved[f"variable{place}"])
            return msgspec.json.decode(saved["rows"].item(), type=list[EpochRow])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise InputError(
            f"{folder / CHECKPOINT_FILE}: cannot be read back ({type(error).__name__}); without that file the training "
            "starts anew"
        ) from error


def _save(model: keras.Model, rows: list[EpochRow], folder: Path) -> None:
    """Write the whole state as one file, replaced atomically; then write the curves from it."""
    import numpy as np

    values = {f"variable{place}": np.asarray(variable) for place, variable in enumerate(_state(model))}
    partial = folder / f"partial-{CHECKPOINT_FILE}"
    np.savez(partial, rows=msgspec.json.encode(rows).decode(), **values)  # type: ignore[arg-type]
    partial.replace(folder / CHECKPOINT_FILE)
    _save_curves(rows, folder)


def _save_curves(rows: list[EpochRow], folder: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, EpochRow.__struct_fields__)
    writer.writeheader()
    writer.writerows(msgspec.structs.asdict(row) for row in rows)
    partial = folder / f"partial-{CURVES_FILE}"
    partial.write_text(text.getvalue())
    partial.replace(folder / CURVES_FILE)


def _save_best(model: keras.Model, folder: Path) -> None:
    partial = folder / f"partial-{BEST_FILE}"
    model.save(partial)
    partial.replace(folder / BEST_FILE)


def read_curves(folder: Path) -> list[EpochRow]:
    """Read the rows of a training's curves, none before its first epoch is done. Raises InputError for other files."""
    try:
        with (folder / CURVES_FILE).open(newline="", encoding="utf-8") as file:
            rows = [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]
        return [msgspec.convert(row, EpochRow, strict=False) for row in rows]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder / CURVES_FILE}: cannot be read ({error.strerror})") from error
    except (csv.Error, ValueError) as error:
        raise InputError(f"{folder / CURVES_FILE}: not the curves of a training ({in_short(error)})") from error


def main(folder: Path) -> int:
    """Train, and print one JSON line for each epoch on stdout, or a `Failure`; all other output goes to log.txt."""
    out = os.dup(1)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        run(folder, lambda row: os.write(out, msgspec.json.encode(row) + b"\n"))
    except Exception as error:  # noqa: BLE001 - whatever the training raises is told
        os.write(out, msgspec.json.encode(_failure(error, folder)) + b"\n")
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
