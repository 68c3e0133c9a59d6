"""The Keras example's augmentation of images, in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The largest shift, as a share of the picture; every second picture is mirrored.
SHIFT_FRACTION = 0.1


def shift_and_mirror(batch: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
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
