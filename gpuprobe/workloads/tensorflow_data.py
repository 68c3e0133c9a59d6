"""TensorFlow as what feeds a training, under any backend; where it is not installed all but tf.data goes on."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import keras

from gpuprobe.errors import MissingError


def tensorflow() -> Any:
    """Return the module TensorFlow. Raises MissingError where it is not installed.

    Under another backend it gets no GPU: it would take all the memory that the training needs.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingError(f"tf.data needs TensorFlow, which cannot be imported: {error}") from error
    if keras.backend.backend() != "tensorflow":
        # Whoever used it before has started its devices; then it is too late.
        with suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


def is_dataset(data: Any) -> bool:
    """Whether it is a tf.data dataset, which only a process can have that has imported TensorFlow."""
    loaded = sys.modules.get("tensorflow")
    return loaded is not None and isinstance(data, loaded.data.Dataset)


def is_uneven(leaf: Any) -> bool:
    """Whether it is a ragged or a sparse tensor of TensorFlow."""
    loaded = sys.modules.get("tensorflow")
    return loaded is not None and isinstance(leaf, loaded.RaggedTensor | loaded.SparseTensor)
