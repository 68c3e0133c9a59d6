"""One log ratio with its standard error and its degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

# From `scipy.special`, since importing `scipy.stats` takes longer than all its use here.
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """The logarithm of a ratio of two rates, with its standard error and its degrees of freedom (`freedom`).

    `laps` counts the pairs of blocks behind it.
    """

    log_ratio: float
    error: float
    freedom: float
    laps: int = 0

    @property
    def deviate(self) -> float:
        """How many standard errors it is from no difference, without the sign."""
        if self.error > 0:
            return abs(self.log_ratio) / self.error
        return float("inf") if self.log_ratio else 0.0

    @property
    def p_value(self) -> float:
        """The probability of a difference at least as large by chance alone (Student's t, two-sided)."""
        return 2 * float(stdtr(self.freedom, -self.deviate))

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """Return half of the width of this ratio's own confidence interval, as a logarithm."""
        return float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error

    def reversed(self) -> Estimate:
        """Return the estimate of the inverse ratio."""
        return Estimate(-self.log_ratio, self.error, self.freedom, self.laps)
