"""Combining the results of checks into one score."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from kernel.lazy_dataclass import dataclass

FEEDBACK = "feedback"
"""Name of the part given by people. It has weight 0 in the overall score unless a policy sets one."""


@dataclass(frozen=True, slots=True)
class Part:
    """The result of one check.

    Attributes:
        name: Name of the check.
        value: 0-100; None where the check does not apply, or failed.
        reason: A sentence that quotes nothing of the answer; empty where the value says it all.
    """

    name: str
    value: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """The evaluation of an answer.

    Attributes:
        overall: Weighted mean of the parts, 0-100.
        parts: Result of each check, 0-100; a check that does not apply is left out.
        reasons: Reasons by check, including checks that failed.
        pending: Judges whose results are still to come.
    """

    overall: int
    parts: Mapping[str, int]
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    pending: tuple[str, ...] = ()


def score_of(parts: Sequence[Part], weights: Mapping[str, float]) -> Score | None:
    """Return the score of the parts, with weight 1 where none is given and 0 for FEEDBACK.

    None where no part with a weight above 0 has a value.
    """
    values = {part.name: part.value for part in parts if part.value is not None}
    weighed = [(value, weights.get(name, 0.0 if name == FEEDBACK else 1.0)) for name, value in values.items()]
    total = sum(weight for _, weight in weighed)
    if total <= 0:
        return None
    overall = round(sum(value * weight for value, weight in weighed) / total)
    return Score(overall, values, {part.name: part.reason for part in parts if part.reason})


def with_parts(score: Score, parts: Sequence[Part], weights: Mapping[str, float]) -> Score:
    """Return the score with later results added; the overall score stays where no part with a weight has a value."""
    known = [Part(name, value, score.reasons.get(name, "")) for name, value in score.parts.items()]
    left_out = [Part(name, None, reason) for name, reason in score.reasons.items() if name not in score.parts]
    every = [*known, *left_out, *parts]
    reasons = {part.name: part.reason for part in every if part.reason}
    return score_of(every, weights) or replace(score, reasons=reasons)


def sampled(key: str, share: float) -> bool:
    """Return whether a key is in the sample of this share (0-1); deterministic for the key."""
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
