"""What can be told of an answer from its text alone: no model judges, so it costs nothing and is always the same.

Each rule returns 0-100, or None where it does not apply, in a time linear in the text. What an answer in Markdown is
made of stands in `markdown`, what a context bears out in `grounding`, and what a JSON Schema asks for in `json_schema`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmops.evaluation import markdown
from llmops.evaluation.markdown import Structure

CUT = frozenset({"length", "content_filter"})
"""Finish reasons of an answer that does not end where it should: its tokens ran out, or a filter stopped it."""
UNTOLD = frozenset({None, "", "unknown"})
"""Finish reasons that say nothing; `unknown` is that of an answer that came whole without one."""

_WORD = re.compile(r"\w+")
_REFUSAL = re.compile(
    r"\W*(i('m| am) (sorry|unable)|sorry,? (but )?i\b|i (can(no|')t|can not|won't) (help|assist|answer|do|provide))",
    re.IGNORECASE,
)
_SOURCE = re.compile(
    r"https?://[^\s)\]>\"]+"  # a link
    r"|\[(\^?\d{1,3}(?: ?[,;–-] ?\^?\d{1,3}){0,9})\]"  # [1], [1, 2], [^1]
    r"|【[^】]{1,80}】"  # the marks of hosted file and web search
)
_DIGITS = re.compile(r"\d+")


def answered(answer: str) -> int:
    """Return 100, or 0 for an answer that is empty or refuses."""
    return 100 if _WORD.search(answer) and not _REFUSAL.match(answer) else 0


def complete(finish_reason: str | None) -> int | None:
    """Return 0 for an answer that was cut (`CUT`), 100 for another; None where it is not known how it ended."""
    return None if finish_reason in UNTOLD else 0 if finish_reason in CUT else 100


def topics(answer: str, expected: Sequence[str]) -> int | None:
    """Return the share of the expected topics that the answer names: whole words, letter case ignored."""
    if not expected:
        return None
    text = f" {_plain(answer)} "
    return _percent(sum(f" {_plain(topic)} " in text for topic in expected), len(expected))


def citations(answer: str, wanted: int | None) -> int | None:
    """Return how many different sources the answer cites, as a share of the number wanted; more are not better.

    Links, numbers in brackets and the marks that hosted search tools leave are taken for citations.
    """
    return None if wanted is None else _percent(min(wanted, len(_sources(answer, wanted))), wanted)


def structure(answer: str, wanted: Sequence[Structure]) -> int | None:
    """Return the share of the wanted elements that the answer has."""
    return _percent(markdown.has(answer, wanted), len(wanted)) if wanted else None


def length(answer: str, least: int | None, most: int | None) -> int | None:
    """Return 100 for an answer of so many words, less the further it is off: twice as many as the most are 50."""
    if least is None and most is None:
        return None
    words = sum(1 for _ in _WORD.finditer(answer))
    if least is not None and words < least:
        return _percent(words, least)
    if most is not None and words > most:
        return _percent(most, words)
    return 100


def _sources(answer: str, enough: int) -> set[str]:
    found: set[str] = set()
    for match in _SOURCE.finditer(answer):
        numbers = match[1]
        found.update(_DIGITS.findall(numbers) if numbers else [match[0].rstrip(".,;:!?")])
        if len(found) >= enough:
            break
    return found


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _percent(part: int, whole: int) -> int:
    return round(100 * part / whole)
