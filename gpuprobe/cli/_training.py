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


def carry_out(spec: TrainingSpec, where: Path | None, out: Path) -> int:
    """Train, in a new folder or resuming an old one, and print the result; return the exit code."""
    console = Terminal(highlight=False, markup=False, soft_wrap=True)
    machine, arrays = environment(), images(spec)
    where = where or folder.make(out, f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-train-resnet{spec.depth}")
    cards = [gpu.name for gpu in machine.gpus]
    console.print(
        f"{workload_name(spec.depth, arrays.name)}, batch {spec.batch_size}, {_strategy(spec)}; into {where}",
        markup=False,
    )
    console.print(
        f"{', '.join(cards) or f'no GPU here; on the processor, {machine.cpu}'}. {arrays.source}", markup=False
    )
    try:
        for row in train(spec, where, arrays):
            console.print(_epoch_line(row, spec.epochs))
    except KeyboardInterrupt:
        _write_plot(where)
        console.print(f"Stopped. Go on with: {wording.command('gpuprobe', 'train', '--resume', where)}")
        return INTERRUPTED
    rows = _write_plot(where)
    best = max(rows, key=lambda row: row.test_accuracy)
    epoch_s = statistics.median(row.epoch_s for row in rows)
    expected = published_epoch_s(cards, spec.depth, len(arrays.x))
    against = f"{wording.clock(expected)} expected ({SOURCE})" if expected else "no published figure for this device"
    console.print(
        f"Best test accuracy {wording.share(best.test_accuracy)}, after epoch {best.epoch}: {where / BEST_FILE}"
    )
    console.print(f"An epoch takes {wording.significant(epoch_s)} s; {against}.")
    for line in _whole_run(where):
        console.print(line)
    console.print(f"Curves: {where / PLOT_FILE}, {where / CURVES_FILE}")
    return 0


def _whole_run(where: Path) -> list[str]:
    """Return where the wall time of the training's latest process went; empty where it was not recorded."""
    wall = whole(lambda: load(Wall, where / WALL_FILE), [])
    breakdown = breakdown_of_wall(wall) if wall is not None else None
    if breakdown is None:
        return []
    parts = [f"{line.what} {line.share}" for line in whole_run.lines(breakdown)]
    return [f"{whole_run.headline(breakdown)}: {', '.join(parts)}."]


def _strategy(spec: TrainingSpec) -> str:
    if spec.strategy != "tuned":
        return spec.strategy
    start = f" on top of {spec.start}" if spec.start else ""
    if spec.combines:
        return f"tuned ({wording.listing(spec.combines)}{start})"
    no_change = f"the search of the study kept nothing{start}" if start else "nothing to combine: give a --study"
    return f"tuned ({no_change})"


def _epoch_line(row: EpochRow, epochs: int) -> str:
    return (
        f"epoch {row.epoch}/{epochs}: loss {_loss(row.train_loss)}, accuracy {wording.share(row.train_accuracy)}; "
        f"test loss {_loss(row.test_loss)}, accuracy {wording.share(row.test_accuracy)}; "
        f"{wording.significant(row.epoch_s)} s"
    )


def _loss(loss: float | None) -> str:
    return "not a finite number" if loss is None else f"{loss:.4f}"


def _write_plot(where: Path) -> list[EpochRow]:
    rows = read_curves(where)
    if rows:
        try:
            (where / PLOT_FILE).write_bytes(curves(rows))
        except OSError as error:
            raise OutputError(f"{where / PLOT_FILE}: cannot be written ({error.strerror})") from error
    return rows
