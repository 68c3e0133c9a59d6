"""A generated replacement for CIFAR-10 of the same shape and dtype, with learnable classes, so that the loss falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.workloads.arrays import Arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAIN, TEST, CLASSES, SIDE = 50_000, 10_000, 10, 32
NAME = "synthetic images of CIFAR-10's shape"
# A class is a pattern of coarse patches, shifted and dimmed in each picture, under noise of this spread.
PATCHES = 4
PATTERN_CONTRAST = 14.0
NOISE_SPREAD = 32.0
# Pictures take their noise from a pool, since drawing 150 million numbers would take seconds.
NOISE_POOL = 512


def synthetic(seed: int, why: str, *, train: int = TRAIN, test: int = TEST) -> Arrays:
    """Make the set from the seed: x uint8 (n, 32, 32, 3), ten classes; `why` is the report's sentence on it."""
    random = np.random.default_rng(seed)
    patterns = _patterns(random)
    noise = random.normal(128, NOISE_SPREAD, (NOISE_POOL, SIDE, SIDE, 3)).astype(np.int16)
    x, y = _draw(random, patterns, noise, train)
    x_test, y_test = _draw(random, patterns, noise, test)
    return Arrays(x=x, y=y, x_test=x_test, y_test=y_test, classes=CLASSES, name=NAME, source=why)


def _patterns(random: np.random.Generator) -> NDArray[np.int16]:
    """Draw one pattern a class, (classes, 32, 32, 3), of mean zero in every channel: no class has a colour."""
    coarse = random.normal(0, 1, (CLASSES, PATCHES, PATCHES, 3))
    coarse -= coarse.mean(axis=(1, 2), keepdims=True)
    factor = SIDE // PATCHES
    return (PATTERN_CONTRAST * coarse.repeat(factor, axis=1).repeat(factor, axis=2)).astype(np.int16)


def _draw(
    random: np.random.Generator, patterns: NDArray[np.int16], noise: NDArray[np.int16], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    y = random.integers(0, CLASSES, count)
    x = np.empty((count, SIDE, SIDE, 3), np.uint8)
    shifts = random.integers(-3, 4, count)
    pool = random.integers(0, len(noise), count)
    for shift in range(-3, 4):
        moved = np.roll(patterns, shift, axis=(1, 2)) if shift else patterns
        for rows in np.array_split(np.flatnonzero(shifts == shift), 8):
            x[rows] = (moved[y[rows]] + noise[pool[rows]]).clip(0, 255)
    return x, y
