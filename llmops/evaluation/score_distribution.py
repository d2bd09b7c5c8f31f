"""Distribution of scores as exact sums, which can be added and subtracted in any order."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreDistribution:
    """Count, sum and sum of squares of whole numbers."""

    count: int = 0
    total: int = 0
    squares: int = 0

    @staticmethod
    def of(value: int) -> ScoreDistribution:
        """Return the distribution of one value."""
        return ScoreDistribution(1, value, value * value)

    def __add__(self, other: ScoreDistribution) -> ScoreDistribution:
        """Return the distribution of both together."""
        return ScoreDistribution(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def __neg__(self) -> ScoreDistribution:
        """Return the distribution that subtracts this one when added."""
        return ScoreDistribution(-self.count, -self.total, -self.squares)

    @property
    def mean(self) -> float | None:
        """The mean; None without values."""
        return self.total / self.count if self.count > 0 else None

    @property
    def variance(self) -> float | None:
        """The unbiased sample variance; None with fewer than two values."""
        if self.count < 2:
            return None
        return max(0.0, (self.squares - self.total * self.total / self.count) / (self.count - 1))


def probability_equal(first: ScoreDistribution, second: ScoreDistribution) -> float | None:
    """Return the two-sided p-value of Welch's test that two means are equal, by the normal approximation.

    B. L. Welch, "The generalization of 'Student's' problem", Biometrika 34 (1947). None with fewer than two values on a
    side.
    With 30 or more on both sides the approximation is within a few percent of the t distribution.
    """
    if first.mean is None or second.mean is None or first.variance is None or second.variance is None:
        return None
    error = math.sqrt(first.variance / first.count + second.variance / second.count)
    difference = abs(first.mean - second.mean)
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(difference / error / math.sqrt(2))
