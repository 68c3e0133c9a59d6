"""The curves of a training as a picture: loss and accuracy, on the training and on the test set."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

import matplotlib as mpl
from matplotlib.figure import Figure

from gpuprobe.report.palette import COLOURS
from gpuprobe.report.plots import STYLE, WIDTH_INCH

if TYPE_CHECKING:
    from collections.abc import Sequence


class Epoch(Protocol):
    """What is drawn of an epoch."""

    @property
    def epoch(self) -> int:
        """From 1."""

    @property
    def train_loss(self) -> float | None:
        """The mean over the epoch, None where it is no finite number."""

    @property
    def train_accuracy(self) -> float:
        """The mean over the epoch, 0 to 1."""

    @property
    def test_loss(self) -> float | None:
        """After the epoch, None where it is no finite number."""

    @property
    def test_accuracy(self) -> float:
        """After the epoch, 0 to 1."""


def curves(epoch_rows: Sequence[Epoch]) -> bytes:
    """Return the SVG, loss on the left and accuracy on the right."""
    epochs = [row.epoch for row in epoch_rows]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCH, 3.2), layout="constrained")
        for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for set_index, data_set in enumerate(("train", "test")):
                metric_values = [getattr(row, f"{data_set}_{metric}") for row in epoch_rows]
                axes.plot(
                    epochs,
                    metric_values,
                    color=COLOURS[set_index],
                    linestyle="-" if set_index else "--",
                    label=data_set,
                )
            axes.set_xlabel("epoch")
            axes.set_ylabel(metric)
            axes.grid(axis="y")
            axes.legend(frameon=False, fontsize=9)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
