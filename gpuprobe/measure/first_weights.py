"""Shares initial weights in a study of several backends, which draw different numbers from the same seed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

# NumPy's names of arrays saved without a name.
ARRAY_NAME = "arr_{}"
NOT_SHARED = "its layers make their weights in the first step, so each backend starts from different weights"


def share_weights(model: keras.Model, file: str) -> tuple[str, ...]:
    """Load the weights in `file` into the model; the first run saves its own there. Return notes for the report.

    Without a `file` nothing is shared. Where layers make their weights only in the first step, a note says so.

    Raises ValueError where the file holds weights of another model.
    """
    if not file:
        return ()
    if not model.built or not all(layer.built for layer in model._flatten_layers()):
        return (NOT_SHARED,)
    path = Path(file)
    if not path.exists():
        _save(model, path)
    with np.load(path) as saved:
        model.set_weights([saved[ARRAY_NAME.format(number)] for number in range(len(saved.files))])
    return ()


def _save(model: keras.Model, path: Path) -> None:
    """Save the weights, unless another run that warms up in parallel has done so."""
    own_file = path.with_name(f"{path.stem}-{os.getpid()}.npz")
    np.savez(own_file, *model.get_weights())
    with suppress(FileExistsError):
        os.link(own_file, path)
    own_file.unlink()
