"""How likely a try of a search may be called faster or slower by chance, so that all its tries hold together at 95 %.

A search goes on by what it found, and how many tries follow is not known. So each try is tested at half of the error
that is left. A change that is dropped uses up its half; one that is kept gives it back, since only a change without a
gain can be kept wrongly (the online fallback procedure: Tian and Ramdas 2021, "Online control of the familywise error
rate").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.ranking.rates import CONFIDENCE

if TYPE_CHECKING:
    from gpuprobe.ranking.search_records import Search


def allowed_error(search: Search) -> float:
    """Return the error that the next try of a search may have.

    A step that two strategies of the study measured costs nothing: the comparisons of the study hold it.
    """
    error_left, over_own_run = 1 - CONFIDENCE, False
    for step in search.steps:
        if step.kept is False and (step.run or over_own_run):
            error_left /= 2
        if step.kept:
            over_own_run = step.run > 0
    return error_left / 2
