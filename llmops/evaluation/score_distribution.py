"""Distributions of scores as exact sums, which can be added and subtracted in any order, and their comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from kernel.lazy_dataclass import dataclass


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
    side. With 30 or more on both sides the approximation is within a few percent of the t distribution.
    """
    if first.mean is None or second.mean is None or first.variance is None or second.variance is None:
        return None
    error = math.sqrt(first.variance / first.count + second.variance / second.count)
    difference = abs(first.mean - second.mean)
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(difference / error / math.sqrt(2))


FEWEST = 30
"""Fewest answers of each version for a verdict."""
CERTAINTY = 0.05
"""A difference is significant when its p-value is below this."""
TELLING = 2.0
"""Least difference that counts, in points of 100."""

Verdict = Literal["worse", "better", "same", "too_few"]


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """How one part of the score differs between two versions.

    Attributes:
        part: The part; `overall` for the whole score.
        base: Mean of the base version; None where it was never scored.
        new: Mean of the new version; None where it was never scored.
        difference: New mean less base mean, in points.
        p_value: Probability of a difference at least this large by chance; None with too few answers.
        base_count: Scored answers of the base version.
        new_count: Scored answers of the new version.
        verdict: The result of the comparison.
    """

    part: str
    base: float | None
    new: float | None
    difference: float | None
    p_value: float | None
    base_count: int
    new_count: int
    verdict: Verdict


def compare(base: Mapping[str, ScoreDistribution], new: Mapping[str, ScoreDistribution]) -> Sequence[ScoreChange]:
    """Return the change of every part, `overall` first."""
    names = sorted(base.keys() | new.keys(), key=lambda name: (name != "overall", name))
    return [_change(name, base.get(name, ScoreDistribution()), new.get(name, ScoreDistribution())) for name in names]


def _change(part: str, base: ScoreDistribution, new: ScoreDistribution) -> ScoreChange:
    difference = None if base.mean is None or new.mean is None else new.mean - base.mean
    p_value = probability_equal(base, new)
    verdict: Verdict = "same"
    if min(base.count, new.count) < FEWEST or difference is None or p_value is None:
        verdict = "too_few"
    elif abs(difference) >= TELLING and p_value < CERTAINTY:
        verdict = "better" if difference > 0 else "worse"
    return ScoreChange(part, base.mean, new.mean, difference, p_value, base.count, new.count, verdict)
