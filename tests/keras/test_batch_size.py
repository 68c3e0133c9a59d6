"""The batch that a `fit` on arrays trains with, by what it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpuprobe.keras.attach import _batch_size
from gpuprobe.keras.model_calls import _batches_note

pytest.importorskip("keras")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"x": np.zeros((100, 4)), "batch_size": 64}, 64),
        ({"x": np.zeros((100, 4))}, 32),
        ({"x": np.zeros((1, 4))}, 1),
        ({"x": iter([])}, None),
    ],
)
def test_a_batch_is_no_larger_than_the_data(given: dict[str, Any], size: int | None) -> None:
    assert _batch_size(given) == size


@pytest.mark.parametrize(
    ("samples", "named", "note"),
    [
        (32, {}, "of one batch"),
        (128, {}, "of a few batches"),
        (129, {}, ""),
        (64, {"batch_size": 64}, "of one batch"),
    ],
)
def test_how_many_batches_a_prediction_has(samples: int, named: dict[str, Any], note: str) -> None:
    assert _batches_note((np.zeros((samples, 4)),), named) == note
