"""Checks of an answer that need only its text: no model is called, they are free and deterministic.

Each returns 0-100, or None where it does not apply, in time linear in the text. See also `markdown` for the elements of
an
answer, `grounding` for support by a context, and `json_schema` for JSON Schemas.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmops.evaluation import markdown
from llmops.evaluation.markdown import Structure

CUT = frozenset({"length", "content_filter"})
"""Finish reasons of an answer that was cut off: the token limit was reached, or a content filter stopped it."""
UNTOLD = frozenset({None, "", "unknown"})
"""Finish reasons without information; `unknown` is set for a complete answer that came without one."""

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
    """Return 0 for an answer that is empty or refuses, else 100."""
    return 100 if _WORD.search(answer) and not _REFUSAL.match(answer) else 0


def complete(finish_reason: str | None) -> int | None:
    """Return 0 for an answer that was cut off (`CUT`), else 100; None where the finish reason is not known."""
    return None if finish_reason in UNTOLD else 0 if finish_reason in CUT else 100


def topics(answer: str, expected: Sequence[str]) -> int | None:
    """Return the share (0-100) of the expected topics that the answer names as whole words, ignoring case."""
    if not expected:
        return None
    text = f" {_plain(answer)} "
    return _percent(sum(f" {_plain(topic)} " in text for topic in expected), len(expected))


def citations(answer: str, wanted: int | None) -> int | None:
    """Return the number of different sources cited as a share (0-100) of the number wanted; more than wanted is 100.

    Links, numbers in brackets and the marks of hosted search tools count as citations.
    """
    return None if wanted is None else _percent(min(wanted, len(_sources(answer, wanted))), wanted)


def structure(answer: str, wanted: Sequence[Structure]) -> int | None:
    """Return the share (0-100) of the wanted elements that the answer has."""
    return _percent(markdown.has(answer, wanted), len(wanted)) if wanted else None


def length(answer: str, least: int | None, most: int | None) -> int | None:
    """Return 100 for an answer within the word limits, less the further outside: twice the maximum gives 50."""
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
