"""What is told of an answer from its text alone."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmops.evaluation import text_checks
from llmops.evaluation.policy import EvaluationPolicy
from llmops.evaluation.text_checks import grounded

ALL: tuple[text_checks.Structure, ...] = ("paragraphs", "bullets", "headings", "table", "code", "json")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Paris is the capital.", 100),
        ("", 0),
        (" ... ", 0),
        ("I'm sorry, but I can't help with that.", 0),
        ("I cannot assist.", 0),
        ("Sorry is the hardest word.", 100),
    ],
)
def test_a_refusal_is_no_answer(answer: str, value: int) -> None:
    assert text_checks.answered(answer) == value


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        ("anything", (), None),
        ("The PRICE of tea, and shipping.", ("price", "Shipping"), 100),
        ("Prices vary.", ("price",), 0),
        ("Return policy: 30 days", ("return policy", "refund"), 50),
        ("Größe: 5", ("GRÖSSE",), 100),
    ],
)
def test_topics_are_whole_words_in_any_case(answer: str, expected: tuple[str, ...], value: int | None) -> None:
    assert text_checks.topics(answer, expected) == value


@pytest.mark.parametrize(
    ("answer", "wanted", "value"),
    [
        ("No source.", None, None),
        ("No source.", 2, 0),
        ("See [1] and [1] again.", 2, 50),
        ("See [the report](https://example.org/a) and https://example.org/b.", 2, 100),
        ("As found【4:0†source】.", 1, 100),
        ("[1][2][3]", 2, 100),
        ("An array: a[x], and [note].", 1, 0),
        ("[the report](https://example.org/a), https://example.org/a.", 2, 50),
        ("As said [1, 2], and [^3].", 3, 100),
    ],
)
def test_different_sources_count(answer: str, wanted: int | None, value: int | None) -> None:
    assert text_checks.citations(answer, wanted) == value


@pytest.mark.parametrize(
    ("answer", "element", "value"),
    [
        ("one\n\ntwo", "paragraphs", 100),
        ("one\ntwo", "paragraphs", 0),
        ("one\n \r\ntwo", "paragraphs", 100),
        ("one\n\n", "paragraphs", 0),
        ("- a\n- b", "bullets", 100),
        ("1. a\n2) b", "bullets", 100),
        ("- alone", "bullets", 0),
        ("# Title\ntext", "headings", 100),
        ("#hashtag", "headings", 0),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "table", 100),
        ("a | b", "table", 0),
        ("```python\nx = 1\n```", "code", 100),
        ("```python\nx = 1", "code", 0),
        ("text ```x```", "code", 0),
        ('{"a": 1}', "json", 100),
        ("17", "json", 0),
        ('Here: {"a": 1}', "json", 0),
    ],
)
def test_structure_is_that_of_markdown(answer: str, element: text_checks.Structure, value: int) -> None:
    assert text_checks.structure(answer, [element]) == value


def test_structure_is_the_share_of_what_is_wanted() -> None:
    assert text_checks.structure("# A\n\ntext", ["headings", "table"]) == 50
    assert text_checks.structure("anything", []) is None


@pytest.mark.parametrize(
    ("words", "least", "most", "value"),
    [
        (10, None, None, None),
        (10, 10, 10, 100),
        (5, 10, None, 50),
        (20, None, 10, 50),
        (0, 1, None, 0),
        (1, None, 0, 0),
    ],
)
def test_length_counts_words(words: int, least: int | None, most: int | None, value: int | None) -> None:
    assert text_checks.length("word " * words, least, most) == value


@pytest.mark.parametrize(
    ("finish_reason", "value"),
    [("length", 0), ("content_filter", 0), ("stop", 100), ("tool_calls", 100), (None, None), ("", None)],
)
def test_an_answer_that_was_cut_is_not_complete(finish_reason: str | None, value: int | None) -> None:
    """Where the provider does not say how the answer ended, nothing is said of it."""
    assert text_checks.complete(finish_reason) == value


@pytest.mark.parametrize(
    ("on_truncated", "finish_reason", "refused"),
    [
        ("fail", "length", True),
        ("fail", "content_filter", True),
        ("fail", "stop", False),
        ("fail", None, False),
        ("accept", "length", False),
    ],
)
def test_a_policy_says_whether_a_cut_answer_fails_its_run(
    on_truncated: Literal["accept", "fail"], finish_reason: str | None, refused: bool
) -> None:
    assert EvaluationPolicy(on_truncated=on_truncated).refuses(finish_reason) is refused


def test_a_cut_answer_is_accepted_unless_the_policy_says_otherwise() -> None:
    assert EvaluationPolicy().on_truncated == "accept"
    with pytest.raises(ValidationError):
        EvaluationPolicy.model_validate({"on_truncated": "retry"})


@given(answer=st.text(max_size=200), expected=st.lists(st.text(min_size=1, max_size=10), max_size=4))
def test_every_rule_says_a_percentage_of_any_text(answer: str, expected: list[str]) -> None:
    values = [
        text_checks.answered(answer),
        text_checks.topics(answer, expected),
        text_checks.citations(answer, 2),
        text_checks.structure(answer, ALL),
        text_checks.length(answer, 3, 10),
        grounded(answer, answer or "x"),
    ]

    assert all(value is None or 0 <= value <= 100 for value in values)
    assert grounded(answer, answer or "x") in (None, 100)
