"""Bringing parts together, and sampling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops.evaluation.combined_score import Part, sampled, score_of, with_parts


def test_a_score_is_the_weighted_mean_of_what_applies() -> None:
    parts = [Part("a", 100), Part("b", 0, "Why."), Part("c", None, "Left out."), Part("d", None)]

    score = score_of(parts, {"a": 3})

    assert score is not None
    assert (score.overall, score.parts) == (75, {"a": 100, "b": 0})
    assert score.reasons == {"b": "Why.", "c": "Left out."}


@pytest.mark.parametrize(("parts", "weights"), [([], {}), ([Part("a", None)], {}), ([Part("a", 50)], {"a": 0})])
def test_of_nothing_there_is_no_score(parts: list[Part], weights: dict[str, float]) -> None:
    assert score_of(parts, weights) is None


def test_what_is_found_later_changes_the_whole() -> None:
    score = score_of([Part("a", 100), Part("b", None, "Left out.")], {})
    assert score is not None

    later = with_parts(score, [Part("judge", 50, "Too long.")], {})

    assert (later.overall, later.parts) == (75, {"a": 100, "judge": 50})
    assert later.reasons == {"b": "Left out.", "judge": "Too long."}


@given(key=st.text(max_size=40), share=st.floats(0, 1))
def test_a_sample_is_always_the_same(key: str, share: float) -> None:
    assert sampled(key, share) == sampled(key, share)
    assert sampled(key, 1.0)
    assert not sampled(key, 0.0)


def test_a_sample_is_as_large_as_asked() -> None:
    share = sum(sampled(f"run-{number}", 0.3) for number in range(4000)) / 4000

    assert 0.27 < share < 0.33
