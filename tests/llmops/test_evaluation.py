"""Scores from an answer's text alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.evaluation.scoring import score


@pytest.mark.parametrize(
    ("answer", "topics", "parts"),
    [
        ("Paris is the capital.", (), {"answered": 100}),
        ("", (), {"answered": 0}),
        (" ... ", (), {"answered": 0}),
        ("I'm sorry, but I can't help with that.", (), {"answered": 0}),
        ("I cannot assist.", (), {"answered": 0}),
        ("Sorry is the hardest word.", (), {"answered": 100}),
        ("The PRICE of tea, and shipping.", ("price", "Shipping"), {"answered": 100, "topics": 100}),
        ("Prices vary.", ("price",), {"answered": 100, "topics": 0}),
        ("Return policy: 30 days", ("return policy", "refund"), {"answered": 100, "topics": 50}),
        ("Größe: 5", ("GRÖSSE",), {"answered": 100, "topics": 100}),
    ],
)
def test_an_answer_is_scored_by_what_it_says(answer: str, topics: tuple[str, ...], parts: dict[str, int]) -> None:
    """Whole words, letter case ignored; a refusal is no answer."""
    found = score(answer, topics)

    assert found.parts == parts
    assert found.overall == round(sum(parts.values()) / len(parts))


@given(answer=st.text(max_size=80), topics=st.lists(st.text(min_size=1, max_size=10), max_size=4))
def test_a_score_is_a_percentage_of_any_text(answer: str, topics: list[str]) -> None:
    """And the same every time."""
    found = score(answer, topics)

    assert 0 <= found.overall <= 100
    assert all(0 <= part <= 100 for part in found.parts.values())
    assert found == score(answer, topics)
