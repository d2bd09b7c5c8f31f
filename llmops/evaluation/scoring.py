"""Bringing the results of checks together as one score."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FEEDBACK = "feedback"
"""The part that people give. It is a score of its own: it weighs nothing in the overall one unless a policy says so."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one check found.

    Attributes:
        name: The check.
        value: 0-100; None where the check does not apply to the answer, or could not be made.
        reason: Why, in a sentence that quotes nothing of the answer; empty where the value says it all.
    """

    name: str
    value: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """How good an answer looks.

    Attributes:
        overall: 0-100, the weighted mean of the parts.
        parts: Each check's result, 0-100; a check that does not apply is left out.
        reasons: Why, of the checks that say so, also of those that could not be made.
        pending: Judges that are still to be heard of the answer.
    """

    overall: int
    parts: Mapping[str, int]
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    pending: tuple[str, ...] = ()


def score_of(parts: Sequence[Part], weights: Mapping[str, float]) -> Score | None:
    """Return the score that the parts come to; a part without a weight counts 1, FEEDBACK nothing.

    None where no part with a weight above 0 has a value: nothing can be said of the answer.
    """
    values = {part.name: part.value for part in parts if part.value is not None}
    weighed = [(value, weights.get(name, 0.0 if name == FEEDBACK else 1.0)) for name, value in values.items()]
    total = sum(weight for _, weight in weighed)
    if total <= 0:
        return None
    overall = round(sum(value * weight for value, weight in weighed) / total)
    return Score(overall, values, {part.name: part.reason for part in parts if part.reason})


def with_parts(score: Score, parts: Sequence[Part], weights: Mapping[str, float]) -> Score:
    """Return the score with what was found later."""
    known = [Part(name, value, score.reasons.get(name, "")) for name, value in score.parts.items()]
    left_out = [Part(name, None, reason) for name, reason in score.reasons.items() if name not in score.parts]
    return score_of([*known, *left_out, *parts], weights) or score


def sampled(key: str, share: float) -> bool:
    """Return whether what the key stands for is in a sample of this share (0-1); always the same for the same key."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
