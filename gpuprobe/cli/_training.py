"""Shows a training epoch by epoch, and writes its curves; what `gpuprobe train` does once its options are read."""

from __future__ import annotations

import statistics
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.cli._terminal import Terminal
from gpuprobe.errors import INTERRUPTED, OutputError
from gpuprobe.evidence.whole_run import breakdown_of_wall
from gpuprobe.measure import folder
from gpuprobe.measure.checkpoint import BEST_FILE, CURVES_FILE, EpochRow, read_curves
from gpuprobe.measure.environment import environment
from gpuprobe.measure.train import images, train
from gpuprobe.measure.training import WALL_FILE, TrainingSpec
from gpuprobe.predict.published import SOURCE, published_epoch_s
from gpuprobe.recording import whole
from gpuprobe.records import Wall, load
from gpuprobe.report import whole_run
from gpuprobe.report.curves import curves
from gpuprobe.workloads.cifar import workload_name

if TYPE_CHECKING:
    from pathlib import Path

PLOT_FILE = "curves.svg"


def train_and_print(spec: TrainingSpec, training_folder: Path | None, reports: Path) -> int:
    """Train, in a new folder or resuming an old one, and print the result; return the exit code."""
    console = Terminal(highlight=False, markup=False, soft_wrap=True)
    environment_here, arrays = environment(), images(spec)
    training_folder = training_folder or folder.make(
        reports, f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-train-resnet{spec.depth}"
    )
    gpu_names = [gpu.name for gpu in environment_here.gpus]
    console.print(
        f"{workload_name(spec.depth, arrays.name)}, batch {spec.batch_size}, {_strategy_words(spec)}; into "
        f"{training_folder}",
        markup=False,
    )
    console.print(
        f"{', '.join(gpu_names) or f'no GPU here; on the processor, {environment_here.cpu}'}. {arrays.source}",
        markup=False,
    )
    try:
        for epoch_row in train(spec, training_folder, arrays):
            console.print(_epoch_line(epoch_row, spec.epochs))
    except KeyboardInterrupt:
        _write_curves(training_folder)
        console.print(f"Stopped. Go on with: {wording.command('gpuprobe', 'train', '--resume', training_folder)}")
        return INTERRUPTED
    epoch_rows = _write_curves(training_folder)
    best_epoch = max(epoch_rows, key=lambda epoch_row: epoch_row.test_accuracy)
    epoch_s = statistics.median(epoch_row.epoch_s for epoch_row in epoch_rows)
    published_s = published_epoch_s(gpu_names, spec.depth, len(arrays.x))
    published_words = (
        f"{wording.clock(published_s)} expected ({SOURCE})" if published_s else "no published figure for this device"
    )
    console.print(
        f"Best test accuracy {wording.share(best_epoch.test_accuracy)}, after epoch {best_epoch.epoch}: "
        f"{training_folder / BEST_FILE}"
    )
    console.print(f"An epoch takes {wording.significant(epoch_s)} s; {published_words}.")
    for whole_run_line in _whole_run_lines(training_folder):
        console.print(whole_run_line)
    console.print(f"Curves: {training_folder / PLOT_FILE}, {training_folder / CURVES_FILE}")
    return 0


def _whole_run_lines(training_folder: Path) -> list[str]:
    """Return where the wall time of the training's latest process went; empty where it was not recorded."""
    wall = whole(lambda: load(Wall, training_folder / WALL_FILE), [])
    breakdown = breakdown_of_wall(wall) if wall is not None else None
    if breakdown is None:
        return []
    part_shares = [f"{run_part.what} {run_part.share}" for run_part in whole_run.run_part_lines(breakdown)]
    return [f"{whole_run.run_headline(breakdown)}: {', '.join(part_shares)}."]


def _strategy_words(spec: TrainingSpec) -> str:
    if spec.strategy != "tuned":
        return spec.strategy
    start_words = f" on top of {spec.start}" if spec.start else ""
    if spec.combines:
        return f"tuned ({wording.listing(spec.combines)}{start_words})"
    no_change = (
        f"the search of the study kept nothing{start_words}" if start_words else "nothing to combine: give a --study"
    )
    return f"tuned ({no_change})"


def _epoch_line(row: EpochRow, epochs: int) -> str:
    return (
        f"epoch {row.epoch}/{epochs}: loss {_loss(row.train_loss)}, accuracy {wording.share(row.train_accuracy)}; "
        f"test loss {_loss(row.test_loss)}, accuracy {wording.share(row.test_accuracy)}; "
        f"{wording.significant(row.epoch_s)} s"
    )


def _loss(loss: float | None) -> str:
    return "not a finite number" if loss is None else f"{loss:.4f}"


def _write_curves(training_folder: Path) -> list[EpochRow]:
    epoch_rows = read_curves(training_folder)
    if epoch_rows:
        try:
            (training_folder / PLOT_FILE).write_bytes(curves(epoch_rows))
        except OSError as error:
            raise OutputError(f"{training_folder / PLOT_FILE}: cannot be written ({error.strerror})") from error
    return epoch_rows
