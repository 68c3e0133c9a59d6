"""Starts or resumes a whole training, and yields its epochs as they end."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import msgspec

from gpuprobe import child, telemetry, wording
from gpuprobe.errors import GpuprobeError, InputError
from gpuprobe.measure import folder
from gpuprobe.measure.checkpoint import EpochRow
from gpuprobe.measure.process import training_environment
from gpuprobe.measure.training import SPEC_FILE, Failure, TrainingSpec
from gpuprobe.recording import TELEMETRY_FILE
from gpuprobe.records import load, save
from gpuprobe.scratch import scratch
from gpuprobe.workloads import data
from gpuprobe.workloads.arrays import Arrays, save_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TrainingFailedError(GpuprobeError):
    """The training ended early; `exit_code` is that of its cause."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def load_spec(training_folder: Path) -> TrainingSpec:
    """Read the spec in a training's folder. Raises InputError where there is none."""
    if not (training_folder / SPEC_FILE).is_file():
        raise InputError(f"{training_folder}: not a training of gpuprobe (it has no {SPEC_FILE})")
    return load(TrainingSpec, training_folder / SPEC_FILE)


def images(spec: TrainingSpec) -> Arrays:
    """Return the training's images. Raises InputError where they are not those that it began with."""
    arrays = data.find(spec.data, seed=spec.seed, samples=spec.samples)
    if spec.images not in {"", arrays.name}:
        raise InputError(f"this training began with {spec.images}, and --data {spec.data} is now {arrays.name}")
    return arrays


def train(spec: TrainingSpec, training_folder: Path, arrays: Arrays) -> Iterator[EpochRow]:
    """Train in a fresh process, and yield each epoch's row, first those from before an interruption.

    Raises GpuprobeError where the training fails, OutputError where its folder is gone. The process ends with its
    caller.
    """
    with folder.locked(training_folder), scratch() as arrays_folder:
        save_arrays(arrays, arrays_folder)
        save(msgspec.structs.replace(spec, arrays=str(arrays_folder), images=arrays.name), training_folder / SPEC_FILE)
        guard = folder.FolderGuard(training_folder)
        process = child.start(
            "gpuprobe.measure.training",
            training_folder,
            environ=training_environment(spec.backend),
            stdout=subprocess.PIPE,
            stderr=None,
        )
        try:
            with telemetry.sampling(training_folder / TELEMETRY_FILE, process.pid):
                for row in _rows(process, training_folder):
                    guard.check()
                    yield row
        finally:
            child.end(process)


def _rows(process: subprocess.Popen[bytes], training_folder: Path) -> Iterator[EpochRow]:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            yield msgspec.json.decode(line, type=EpochRow)
        except msgspec.ValidationError:
            failure = msgspec.json.decode(line, type=Failure)
            raise TrainingFailedError(failure.error, failure.exit_code) from None
    if process.wait() != 0:
        again = wording.command("gpuprobe", "train", "--resume", training_folder)
        raise GpuprobeError(
            f"{training_folder}: the training's process ended early (exit code {process.returncode}); see log.txt, "
            f"then go on with: {again}"
        )
