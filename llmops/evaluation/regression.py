"""Comparing the scores of two versions of an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmops.evaluation.score_distribution import ScoreDistribution, probability_equal

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
