"""TensorFlow as the feed of a training under any backend; without TensorFlow only tf.data is missing."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import keras

from gpuprobe.backends.known import TENSORFLOW, is_installed, lacking
from gpuprobe.errors import MissingError


def tensorflow() -> Any:
    """Return the module TensorFlow. Raises MissingError where it is not installed.

    Under another backend TensorFlow gets no GPU, since it would take all its memory.
    """
    if not is_installed(TENSORFLOW):
        raise MissingError(f"tf.data is needed, and {lacking(TENSORFLOW)}")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingError(f"tf.data needs TensorFlow, which cannot be imported: {error}") from error
    if keras.backend.backend() != "tensorflow":
        # If TensorFlow was used before, its devices are already set up.
        with suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


def is_dataset(data: Any) -> bool:
    """Whether it is a tf.data dataset; without TensorFlow imported nothing is."""
    loaded = sys.modules.get("tensorflow")
    return loaded is not None and isinstance(data, loaded.data.Dataset)


def is_uneven(leaf: Any) -> bool:
    """Whether it is a ragged or a sparse tensor of TensorFlow."""
    loaded = sys.modules.get("tensorflow")
    return loaded is not None and isinstance(leaf, loaded.RaggedTensor | loaded.SparseTensor)
