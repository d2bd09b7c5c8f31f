"""What can be told of an answer from its text alone: no model judges, so it costs nothing and is always the same.

Each rule returns 0-100, or None where it does not apply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Structure = Literal["paragraphs", "bullets", "headings", "table", "code", "json"]

_WORD = re.compile(r"\w+", re.UNICODE)
_REFUSAL = re.compile(
    r"^\W*(i('m| am) (sorry|unable)|sorry,? (but )?i\b|i (can(no|')t|can not|won't) (help|assist|answer|do|provide))",
    re.IGNORECASE,
)
_CITATION = re.compile(
    r"\]\(https?://[^\s)]+\)"  # [text](link)
    r"|(?<!\()https?://[^\s)\]]+"  # a bare link
    r"|\[\d{1,3}\]"  # [1]
    r"|【[^】]{1,80}】"  # the marks of hosted file and web search
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_STRUCTURE: Mapping[str, re.Pattern[str]] = {
    "paragraphs": re.compile(r"\S\s*\n\s*\n\s*\S"),
    "headings": re.compile(r"^#{1,6}[ \t]+\S", re.MULTILINE),
    "table": re.compile(r"^[ \t]*\|.+\|[ \t]*\n[ \t]*\|[ \t:|-]+\|[ \t]*$", re.MULTILINE),
    "code": re.compile(r"^```[^\n]*\n.*?^```[ \t]*$", re.MULTILINE | re.DOTALL),
}
_BULLET = re.compile(r"^[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_SUPPORTED = 0.6
"""Share of a sentence's telling words that must stand in the context for it to count as grounded."""
_TELLING = 4
"""Letters from which on a word is telling; shorter ones are mostly grammar."""


def answered(answer: str) -> int:
    """Return 100, or 0 for an answer that is empty or refuses."""
    return 100 if _WORD.search(answer) and not _REFUSAL.search(answer) else 0


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
    return None if wanted is None else _percent(min(wanted, len(set(_CITATION.findall(answer)))), wanted)


def structure(answer: str, wanted: Sequence[Structure]) -> int | None:
    """Return the share of the wanted elements that the answer has (Markdown; `json`: the whole answer is JSON)."""
    return _percent(sum(_has(answer, element) for element in wanted), len(wanted)) if wanted else None


def length(answer: str, least: int | None, most: int | None) -> int | None:
    """Return 100 for an answer of so many words, less the further it is off: twice as many as the most are 50."""
    if least is None and most is None:
        return None
    words = len(_WORD.findall(answer))
    if least is not None and words < least:
        return _percent(words, least)
    if most is not None and words > most:
        return _percent(most, words)
    return 100


def grounded(answer: str, context: str | None) -> int | None:
    """Return the share of the answer's sentences that the context bears out.

    A sentence is borne out when most of its telling words, and every number in it, stand in the context. This is a
    measure of words, not of meaning: it finds what was made up, and not what was turned around. None without a context,
    and for an answer that says nothing telling.
    """
    if not context:
        return None
    known, numbers = set(_plain(context).split()), set(_NUMBER.findall(context))
    claims = [(telling, _NUMBER.findall(text)) for text in _SENTENCE.findall(answer) if (telling := _telling(text))]
    if not claims:
        return None
    borne_out = sum(
        len(telling & known) >= _SUPPORTED * len(telling) and numbers.issuperset(figures) for telling, figures in claims
    )
    return _percent(borne_out, len(claims))


def follows(answer: str, schema: Mapping[str, Any] | None) -> int | None:
    """Return 100 for an answer that is JSON and follows the JSON Schema, 0 for another; None without a schema."""
    if schema is None:
        return None
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - only agents with a response format need it

    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return 0
    return 100 if Draft202012Validator(schema).is_valid(value) else 0


def _telling(sentence: str) -> set[str]:
    return {word for word in _plain(sentence).split() if len(word) >= _TELLING and not word.isdigit()}


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _has(answer: str, element: Structure) -> bool:
    match element:
        case "json":
            return _is_json(answer)
        case "bullets":
            return len(_BULLET.findall(answer)) > 1
        case _:
            return bool(_STRUCTURE[element].search(answer))


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _percent(part: int, whole: int) -> int:
    return round(100 * part / whole)
