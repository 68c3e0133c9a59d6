"""Shares initial weights in a study of several backends: from one seed each backend draws other numbers."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

# NumPy's names of arrays saved without a name.
NAME = "arr_{}"
LATE = "its layers make their weights in the first step: each backend begins with its own"


def share_weights(model: keras.Model, file: str) -> tuple[str, ...]:
    """Load the weights in the file into the model; the first run saves its own there. Return notes for the report.

    Raises ValueError where the file holds weights of another model.
    """
    if not file:
        return ()
    if not model.built or not all(layer.built for layer in model._flatten_layers()):
        return (LATE,)
    path = Path(file)
    if not path.exists():
        _save(model, path)
    with np.load(path) as saved:
        model.set_weights([saved[NAME.format(number)] for number in range(len(saved.files))])
    return ()


def _save(model: keras.Model, path: Path) -> None:
    """Save the weights, unless another run that warms up in parallel has done so."""
    own = path.with_name(f"{path.stem}-{os.getpid()}.npz")
    np.savez(own, *model.get_weights())
    with suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
