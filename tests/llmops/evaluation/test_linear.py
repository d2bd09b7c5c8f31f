"""The rules of text take a time that is linear in the text, whatever the text.

Two measures, neither of them a clock. Steps of Python: how many operations the interpreter counts for a text and for
one twice as long. Steps inside the engine for patterns, which nobody counts: texts so long that a rule which is
quadratic in them would take hours, so that the suite's own time limit ends it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.evaluation import text_checks
from llmops.evaluation.text_checks import grounded

ALL: tuple[text_checks.Structure, ...] = ("paragraphs", "bullets", "headings", "table", "code", "json")
RULES: dict[str, Callable[[str], Any]] = {
    "answered": text_checks.answered,
    "topics": lambda text: text_checks.topics(text, ["a", "[1]", "http://a", "a a a b"]),
    "citations": lambda text: text_checks.citations(text, 100),
    "structure": lambda text: text_checks.structure(text, ALL),
    "length": lambda text: text_checks.length(text, 1, 2),
    "grounded": lambda text: grounded(text, text[: len(text) // 2]),
}
HOSTILE = [
    "\n",
    " \n",
    "\t",
    "[",
    "](http://",
    "http://",
    "http://.",
    "- ",
    "|",
    "|a",
    "|-|\n",
    "```\n",
    "```x\n",
    "`",
    "#",
    "# ",
    "a.",
    ". ",
    "1,",
    "1,111",
    "[1",
    "[1,",
    "【",
    "**",
    "__",
    "**a:",
    '"[',
    "i",
    "sorry ",
    "é",
]
FRAGMENTS = st.lists(
    st.sampled_from([*'[]()|#`*_-:.,!?1ai \n\t"', "http://", "【", "】", "```", "](http://"]), min_size=1
)


def steps(rule: Callable[[str], Any], text: str) -> int:
    """Return how many operations the interpreter makes, in frames of Python."""
    count = 0

    def counting(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return counting

    before = sys.gettrace()
    sys.settrace(counting)
    try:
        rule(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("fragment", HOSTILE)
@pytest.mark.parametrize("rule", RULES)
def test_twice_the_text_takes_twice_the_steps(rule: str, fragment: str) -> None:
    once, twice = (steps(RULES[rule], fragment * times) for times in (500, 1000))

    assert twice <= 2.2 * once + 500


@pytest.mark.parametrize("fragment", HOSTILE)
def test_hostile_texts_of_half_a_million_characters_are_checked(fragment: str) -> None:
    text = (fragment * 500_000)[:500_000]
    for rule in RULES.values():
        rule(text)


@settings(max_examples=20, deadline=None)
@given(head=FRAGMENTS, repeated=FRAGMENTS, tail=FRAGMENTS)
def test_any_repetition_is_checked(head: list[str], repeated: list[str], tail: list[str]) -> None:
    fragment = "".join(repeated[:8])
    text = "".join(head) + fragment * (100_000 // len(fragment)) + "".join(tail)
    for rule in RULES.values():
        rule(text)
