"""Whether one version of an agent answers worse than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmops.evaluation.score_distribution import ScoreDistribution, probability_equal

FEWEST = 30
"""Answers of each version below which nothing is said."""
CERTAINTY = 0.05
"""A difference counts when chance alone brings one as large with less than this probability."""
TELLING = 2.0
"""A difference counts when it is at least so many points, of 100."""

Verdict = Literal["worse", "better", "same", "too_few"]


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """How one part of the score differs between two versions.

    Attributes:
        part: The part; `overall` for the whole score.
        base: Its mean before; None where it was never scored.
        new: Its mean now.
        difference: New less base, in points.
        p_value: How likely chance alone makes such a difference; None where that cannot be told.
        base_count: Answers scored before.
        new_count: Answers scored now.
        verdict: What that says.
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
    """Return how every part differs, `overall` first."""
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
