"""A predicted figure and its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable


class Estimate(Record, frozen=True, kw_only=True):
    """A predicted figure with its range: the least and the most over the ranges of the model's assumptions."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """Return the estimate of the figure times a positive factor."""
        return Estimate(value=self.value * factor, low=self.low * factor, high=self.high * factor)


def over(value: float, others: Iterable[float]) -> Estimate:
    """Return an estimate of `value` whose range spans it and all the others."""
    spanned = [value, *others]
    return Estimate(value=value, low=min(spanned), high=max(spanned))
