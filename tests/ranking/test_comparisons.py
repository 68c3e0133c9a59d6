"""The comparisons of a study: what is called different, how wide the intervals are, and what could be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gpuprobe.ranking.comparisons import Comparisons
from tests.helpers.laps import timed

if TYPE_CHECKING:
    from collections.abc import Mapping

LAPS = 12


def compared(gains: Mapping[str, float], noise: float = 0.05) -> Comparisons:
    """A study of which all took turns in the same laps, at these rates relative to `base`."""
    random = np.random.default_rng(3)
    gain_by_name = {"base": 1.0, **gains}
    return Comparisons.of(
        [
            timed(name, 1, {lap: 100.0 * gain * (1 + noise * random.standard_normal()) for lap in range(1, LAPS + 1)})
            for name, gain in gain_by_name.items()
        ],
        "base",
    )


@pytest.mark.parametrize("other", ["base", "a"])
def test_what_the_joint_interval_excludes_the_ranking_calls_different(other: str) -> None:
    told = []
    for effect in np.linspace(0.05, 0.25, 41):
        found = compared({"a": 1.0, **dict.fromkeys("bcdef", 1.0), "x": 1.0 + effect})
        joint = found.joint_ratio("x", other)
        assert joint is not None
        assert joint.low <= 1 or found.beyond("x", other) == "faster", f"{effect:.3f} faster than {other}"
        told.append(joint.low > 1)
    assert any(told)
    assert not all(told)


def test_a_difference_as_large_as_the_resolution_is_told() -> None:
    told = []
    for effect in np.linspace(0.02, 0.3, 57):
        found = compared({"a": 1.0, "x": 1.0 + effect})
        resolution, ratio = found.resolution(), found.ratio("x", "base")
        assert resolution is not None
        assert ratio is not None
        told.append(ratio.value > 1 + resolution)
        assert not told[-1] or found.beyond("x", "base") == "faster", f"{ratio.value:.3f} at {resolution:.3f}"
    assert any(told)
    assert not all(told)


def test_it_ties_with_each_from_which_it_does_not_differ() -> None:
    found = compared({"a": 1.0, "b": 2.0, "c": 2.0}, noise=0.02)
    assert found.ties_with("base") == ("a",)
    assert found.ties_with("b") == ("c",)
