"""How a message sounds, by its words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.evaluation.sentiment import sentiment


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("Where is my order 4711?", 50, 50),
        ("", 50, 50),
        ("This is ridiculous, I am furious", 10, 20),
        ("I am not happy with this", 20, 30),
        ("That is not bad", 50, 50),
        ("It isn't helpful at all", 20, 30),
        ("WHERE IS MY ORDER NOW", 20, 30),
        ("Send the PDF to the USA office", 50, 50),
        ("Where is it?!!", 20, 30),
        ("Thanks, that was great", 80, 90),
        ("Das ist eine Frechheit!", 20, 30),
        ("C'est inacceptable", 20, 30),
        ("Es una vergüenza", 20, 30),
        ("Thank you, but this is terrible", 50, 50),
    ],
)
def test_anger_is_below_and_thanks_above_the_middle(text: str, low: int, high: int) -> None:
    """What says neither is in the middle."""
    assert low <= sentiment(text) <= high


@given(st.text(max_size=300))
def test_it_is_a_score(text: str) -> None:
    """Of any text, and the same each time."""
    assert 0 <= sentiment(text) == sentiment(text) <= 100
