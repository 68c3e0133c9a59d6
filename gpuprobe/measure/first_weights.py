"""The first weights of a study over several backends: each draws its own from one seed, so that one's are for all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

# As NumPy names what was saved without a name.
NAME = "arr_{}"
LATE = "its layers make their weights in the first step: each backend begins with its own"


def share(model: keras.Model, file: str) -> tuple[str, ...]:
    """Give the model the weights in the file; who comes first saves its own there. Return what there is to note.

    Raises ValueError where the file's are of another model.
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
    """Save the weights, unless another run that warms up beside this one was faster."""
    own = path.with_name(f"{path.stem}-{os.getpid()}.npz")
    np.savez(own, *model.get_weights())
    with suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
