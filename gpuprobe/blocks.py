"""The confidence interval of the mean of successive times, by the means of blocks, since neighbours are correlated.

Batch means: Law, "Simulation Modeling and Analysis". Eight blocks are few enough to be independent, and enough for
Student's t.

Every diagnosis imports this module, so it does not import `statistics`, which takes longer than reading a small trace.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = 8
# Student's t for 95 % at 7 degrees of freedom, that is for 8 blocks.
T_95 = 2.365


def block_means(times: Sequence[float]) -> list[float]:
    """Return the means of eight blocks of the times (n >= 8), whose lengths differ by at most one."""
    edges = [len(times) * block // BLOCKS for block in range(BLOCKS + 1)]
    return [math.fsum(times[first:last]) / (last - first) for first, last in itertools.pairwise(edges)]


def half_width(means: Sequence[float]) -> float:
    """Return half of the 95 % interval of the mean, from the means of eight blocks, in their unit."""
    middle = math.fsum(means) / len(means)
    variance = math.fsum((mean - middle) ** 2 for mean in means) / (len(means) - 1)
    return T_95 * math.sqrt(variance / BLOCKS)
