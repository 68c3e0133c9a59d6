"""Our own forms of some of numpy's functions, which load its masked arrays: they give what numpy's give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpuprobe.quantiles import median, percentile
from gpuprobe.traces.names import among, distinct

LARGE = np.iinfo(np.int64)


@given(arrays(np.int64, st.integers(0, 40), elements=st.integers(-5, 9) | st.integers(LARGE.min, LARGE.max)))
def test_different_ids_are_found_close_together_or_far_apart(ids: np.ndarray) -> None:
    unique, row = distinct(ids)
    expected, expected_row = np.unique(ids, return_inverse=True)
    np.testing.assert_array_equal(unique, expected)
    np.testing.assert_array_equal(row, expected_row)


@given(
    arrays(np.int64, st.integers(0, 20), elements=st.integers(-5, 9)),
    arrays(np.int64, st.integers(0, 20), elements=st.integers(-5, 9) | st.integers(LARGE.min, LARGE.max)),
)
def test_ids_are_found_among_others(ids: np.ndarray, chosen: np.ndarray) -> None:
    np.testing.assert_array_equal(among(ids, chosen), np.isin(ids, chosen))


@given(arrays(np.int64, st.integers(1, 40), elements=st.integers(LARGE.min, LARGE.max)))
def test_the_median_of_whole_numbers_is_numpys(values: np.ndarray) -> None:
    assert median(values) == np.median(values)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e300, 1e300)))
def test_the_median_of_floats_is_numpys(values: np.ndarray) -> None:
    assert median(values) == np.median(values)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e300, 1e300)), st.sampled_from([0, 5, 50, 95, 100]))
def test_a_percentile_is_numpys(values: np.ndarray, percent: float) -> None:
    assert percentile(values, percent) == np.percentile(values, percent)
