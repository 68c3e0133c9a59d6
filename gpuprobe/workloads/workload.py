"""The `Workload`: all that a strategy needs to train, and nothing about how it is fed or compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras
    from numpy.typing import NDArray

    from gpuprobe.workloads.arrays import Arrays

# The Keras example's augmentation: shifts by up to a tenth of the picture, and mirrors every second one.
SHIFT_FRACTION = 0.1


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model and its training: `build` gives a fresh, uncompiled model, `optimizer` a fresh optimiser.

    `learning_rate` gives the rate of an epoch, from 0.
    """

    name: str
    build: Callable[[], keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    loss: str
    metrics: tuple[str, ...]
    learning_rate: Callable[[int], float]
    batch_size: int
    data: Arrays

    def prepare(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Scale tensors, of one sample or a batch: x to float32 in [0, 1] less the pixel mean, y to one-hot."""
        import tensorflow as tf

        return tf.cast(x, tf.float32) / 255.0 - self.data.mean, tf.one_hot(y, self.data.classes)

    def map_sample(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Prepare one sample in a tf.data map, on the host; the same as `prepare` unless a fault was put in."""
        return self.prepare(x, y)

    def prepare_arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scale the whole training set with numpy, ahead of training, as `prepare` does."""
        x = np.empty(self.data.x.shape, np.float32)
        np.divide(self.data.x, np.float32(255), out=x)
        x -= self.data.mean
        return x, np.eye(self.data.classes, dtype=np.float32)[self.data.y]

    def augment(self, batch: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """Shift each image (n, height, width, channels) at random, its edge repeated, and mirror half of them."""
        height, width = batch.shape[1:3]
        reach_y, reach_x = round(SHIFT_FRACTION * height), round(SHIFT_FRACTION * width)
        changed = np.empty_like(batch)
        for index, image in enumerate(batch):
            rows = np.arange(height) + random.integers(-reach_y, reach_y + 1)
            columns = np.arange(width) + random.integers(-reach_x, reach_x + 1)
            if random.random() < 0.5:
                columns = columns[::-1]
            changed[index] = image[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
        return changed
