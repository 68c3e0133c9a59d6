"""A training set in memory, and how it reaches the worker processes. Imports only numpy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FIELDS = ("x", "y", "x_test", "y_test")


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Images as they are stored: `x` (n, height, width, channels) uint8, `y` (n,) int64 class index; same for test.

    `name` and `source` are the report's words for what they are and where they came from.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    classes: int
    name: str
    source: str

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """The pixel mean of the training set scaled to [0, 1], of one image's shape."""
        # In blocks, since the whole set in float64 would take eight times its memory.
        total = sum(block.sum(axis=0, dtype=np.int64) for block in np.array_split(self.x, max(1, len(self.x) // 1000)))
        return np.asarray(total / (255.0 * len(self.x)), np.float32)

    def first(self, samples: int | None) -> Arrays:
        """Return the set with only its first training samples, all of them where None."""
        if samples is None or samples >= len(self.x):
            return self
        return Arrays(
            x=self.x[:samples],
            y=self.y[:samples],
            x_test=self.x_test,
            y_test=self.y_test,
            classes=self.classes,
            name=self.name,
            source=self.source,
        )


def save_arrays(arrays: Arrays, folder: Path) -> None:
    """Write a set for the worker processes. Raises OutputError where the folder cannot take it."""
    try:
        for field in FIELDS:
            np.save(folder / f"{field}.npy", getattr(arrays, field))
        np.save(folder / "about.npy", np.array([str(arrays.classes), arrays.name, arrays.source]))
    except OSError as error:
        raise OutputError(f"{folder}: no room for the training data ({error.strerror}); set TMPDIR") from error


def load_arrays(folder: Path) -> Arrays:
    """Load a set as a memory map, so that all workers share its memory."""
    x, y, x_test, y_test = (np.load(folder / f"{field}.npy", mmap_mode="r") for field in FIELDS)
    classes, name, source = np.load(folder / "about.npy").tolist()
    return Arrays(x=x, y=y, x_test=x_test, y_test=y_test, classes=int(classes), name=name, source=source)
