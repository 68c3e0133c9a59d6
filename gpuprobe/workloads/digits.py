"""A small real set that a package ships: scikit-learn's handwritten digits, in CIFAR-10's shape."""

from __future__ import annotations

import numpy as np

from gpuprobe.errors import MissingError
from gpuprobe.workloads.arrays import Arrays

SIDE, CLASSES = 32, 10
BRIGHTEST = 16
# Every fifth picture is for the test set, after a fixed shuffle, since the file is sorted by writer.
TEST_EVERY = 5
NAME = "scikit-learn's digits at 32 x 32"


def digits() -> Arrays:
    """Return 1,437 training and 360 test pictures of 8 x 8 handwritten digits, resized to x uint8 (n, 32, 32, 3).

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998, test part. Raises MissingError
    where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingError("the digits need scikit-learn, which is not installed: pip install scikit-learn") from error
    bundle = load_digits()
    x, y = _resized(bundle.images), bundle.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    test, train = order[::TEST_EVERY], np.delete(order, np.s_[::TEST_EVERY])
    source = f"1,797 real pictures of digits from scikit-learn, {len(test)} of them for the test."
    return Arrays(x=x[train], y=y[train], x_test=x[test], y_test=y[test], classes=CLASSES, name=NAME, source=source)


def _resized(images: np.ndarray) -> np.ndarray:
    """Enlarge (n, 8, 8) in 0 to 16 to (n, 32, 32, 3) uint8, linearly between the centres of pixels."""
    size = images.shape[1]
    places = ((np.arange(SIDE) + 0.5) * size / SIDE - 0.5).clip(0, size - 1)
    low = np.minimum(places.astype(int), size - 2)
    weights = np.zeros((SIDE, size))
    weights[np.arange(SIDE), low] = 1 - (places - low)
    weights[np.arange(SIDE), low + 1] = places - low
    enlarged = weights @ images @ weights.T * (255 / BRIGHTEST)
    return np.repeat(enlarged.round().astype(np.uint8)[..., None], 3, axis=-1)
