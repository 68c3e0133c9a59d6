"""How a verdict tells its figures."""

from __future__ import annotations

import pytest

from gpuprobe.records import Gain
from gpuprobe.report import findings


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        (Gain(ratio=2.3, low=2.1, high=2.5, over="fit"), "2.30x (2.10 to 2.50) over fit"),
        (Gain(ratio=9.0, low=1.6, high=42.0), "at least 1.60x (up to 42.00x: the trace does not show how much)"),
        (Gain(ratio=2.0, low=0.9, high=12.0), "not known (up to 12.00x: the trace does not show how much)"),
    ],
)
def test_a_range_too_wide_to_tell_a_gain_tells_its_lower_end(gain: Gain, told: str) -> None:
    assert findings.gain_in_words(gain) == told
