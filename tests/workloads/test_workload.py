"""A workload scales its images the same way everywhere, and trains: its loss falls on the synthetic set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from gpuprobe.workloads.augment import shift_and_mirror  # noqa: E402
from gpuprobe.workloads.cifar import resnet_on_cifar  # noqa: E402
from gpuprobe.workloads.source import ArraySource, mapped, source  # noqa: E402
from gpuprobe.workloads.synthetic import synthetic  # noqa: E402

if TYPE_CHECKING:
    from gpuprobe.workloads.arrays import Arrays
    from gpuprobe.workloads.workload import Workload

BATCH = 32
STEPS = 60


@pytest.fixture(scope="module")
def images() -> Arrays:
    return synthetic(0, "why", train=BATCH * STEPS, test=10)


@pytest.fixture(scope="module")
def workload(images: Arrays) -> Workload:
    return resnet_on_cifar(images, depth=8, batch_size=BATCH)


def ahead(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    given = source(workload)
    assert isinstance(given, ArraySource)
    return mapped(workload, given).parts


def test_batches_samples_and_arrays_are_scaled_alike(workload: Workload, images: Arrays) -> None:
    x, y = ahead(workload)
    assert workload.map is not None
    some, labels = workload.map(images.x[:5], images.y[:5])
    one, label = workload.map(images.x[0], images.y[0])
    assert np.array_equal(some, x[:5])
    assert np.array_equal(labels, y[:5])
    assert np.array_equal(one, x[0])
    assert np.array_equal(label, y[0])
    assert x.dtype == y.dtype == np.float32
    assert abs(x.mean(axis=0)).max() < 1e-5, "the pixel mean is taken off"
    assert np.allclose(255 * (x + images.mean), images.x, atol=1e-3)


def test_augmentation_shifts_by_a_tenth_and_mirrors() -> None:
    rows, columns = np.mgrid[0:32, 0:32].astype(np.float32)
    images = np.repeat(np.stack([rows, columns, rows], axis=-1)[None], 400, axis=0)
    changed = shift_and_mirror(images, np.random.default_rng(0))
    shift = changed[:, 16, 0, 0] - 16
    mirrored = changed[:, 0, 0, 1] > changed[:, 0, -1, 1]
    assert set(shift.tolist()) == set(range(-3, 4))
    assert 0.4 < mirrored.mean() < 0.6
    # Nothing is made up at the edge: each row and column is one of the image's, the nearest.
    assert np.array_equal(changed[..., 0], np.clip(rows + shift[:, None, None], 0, 31))
    assert images[7, 3, 5].tolist() == [3, 5, 3], "the batch that came in is left alone"


def test_the_loss_falls_within_a_few_dozen_steps(workload: Workload) -> None:
    keras.utils.set_random_seed(0)
    model = workload.build()
    workload.compile(model, jit_compile=False, steps_per_execution=1)
    x, y = ahead(workload)
    losses = []
    for first in range(0, len(x), BATCH):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x[first : first + BATCH], y[first : first + BATCH])[0]))
    by_chance = math.log(10) + float(sum(model.losses))
    # Every batch is new to the model, so that the loss cannot fall by learning pictures by heart.
    assert np.mean(losses[-10:]) < 0.85 * by_chance
