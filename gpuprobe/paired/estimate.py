"""One log ratio with its standard error and its degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

# Of `scipy.special`: to import `scipy.stats` takes longer than all that the program does with it.
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """How many times as fast one is as another, as a logarithm; `laps` counts the pairs of blocks behind it."""

    log_ratio: float
    error: float
    freedom: float
    laps: int = 0

    @property
    def deviate(self) -> float:
        """How many standard errors it lies from no difference, whatever the sign."""
        if self.error > 0:
            return abs(self.log_ratio) / self.error
        return float("inf") if self.log_ratio else 0.0

    @property
    def p_value(self) -> float:
        """How often chance alone would show as much (Student's t, two-sided)."""
        return 2 * float(stdtr(self.freedom, -self.deviate))

    def half(self, confidence: float = CONFIDENCE) -> float:
        """Return half of the interval that holds the truth with this confidence, for this ratio alone."""
        return float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error

    def reversed(self) -> Estimate:
        """Return the same the other way round."""
        return Estimate(-self.log_ratio, self.error, self.freedom, self.laps)
