"""Scoring an answer from its text alone: no model judges, so a score costs nothing and is the same every time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w+", re.UNICODE)
_REFUSAL = re.compile(
    r"^\W*(i('m| am) (sorry|unable)|sorry,? (but )?i\b|i (can(no|')t|can not|won't) (help|assist|answer|do|provide))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Score:
    """How good an answer looks.

    Attributes:
        overall: 0-100, the mean of the parts.
        parts: Each check's share of what it looked for, 0-100; a check that does not apply is left out.
    """

    overall: int
    parts: Mapping[str, int]


def score(answer: str, expected_topics: Sequence[str] = ()) -> Score:
    """Return the answer's score.

    The parts: `answered` (100 unless it is empty or refuses) and, where topics are expected, `topics` (the share of
    them that the answer names, whole words, letter case ignored).
    """
    text = " ".join(_WORD.findall(answer.casefold()))
    parts = {"answered": 0 if not text or _REFUSAL.search(answer) else 100}
    if expected_topics:
        named = sum(f" {' '.join(_WORD.findall(topic.casefold()))} " in f" {text} " for topic in expected_topics)
        parts["topics"] = round(100 * named / len(expected_topics))
    return Score(round(sum(parts.values()) / len(parts)), parts)
