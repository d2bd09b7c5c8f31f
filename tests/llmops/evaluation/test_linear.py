"""The rules of text take a time that is linear in the text, whatever the text.

Two measures, neither of them a clock. Steps of Python: how many operations the interpreter counts for a text and for
one twice as long. Steps inside the engine for patterns, which nobody counts: texts so long that a rule which is
quadratic in them takes thousands of times as long as a linear one, which the suite's own time limit ends.
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
LONG = 300_000
"""Characters: the square of it is 15 minutes at 10 ns a step, longer than any test may take."""
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
def test_twice_the_text_takes_twice_the_steps(fragment: str) -> None:
    """By every rule; the least quadratic one would take more than 90,000 steps for the longer text."""
    for name, rule in RULES.items():
        once, twice = (steps(rule, fragment * times) for times in (150, 300))

        assert twice <= 2.2 * once + 500, name


@pytest.mark.parametrize("fragment", HOSTILE)
def test_long_hostile_texts_are_checked(fragment: str) -> None:
    text = (fragment * LONG)[:LONG]
    for rule in RULES.values():
        rule(text)


@settings(max_examples=20, deadline=None)
@given(head=FRAGMENTS, repeated=FRAGMENTS, tail=FRAGMENTS)
def test_any_repetition_is_checked(head: list[str], repeated: list[str], tail: list[str]) -> None:
    fragment = "".join(repeated[:8])
    text = "".join(head) + fragment * (100_000 // len(fragment)) + "".join(tail)
    for rule in RULES.values():
        rule(text)
