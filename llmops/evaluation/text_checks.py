"""Checks of an answer that need only its text, and its context: no model is called, they are free and deterministic.

Each returns 0-100, or None where it does not apply, in time linear in the text. Whether claims are supported by a
context is judged by comparing words and numbers, not meaning. See also `markdown` for the elements of an answer, and
`json_schema` for JSON Schemas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmops.evaluation import markdown
from llmops.evaluation.markdown import Kind, Structure, lines

CUT = frozenset({"length", "content_filter"})
"""Finish reasons of an answer that was cut off: the token limit was reached, or a content filter stopped it."""
NO_REASON_GIVEN = frozenset({None, "", "unknown"})
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
    return None if finish_reason in NO_REASON_GIVEN else 0 if finish_reason in CUT else 100


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


_LETTERS = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SAYS_NOTHING = (
    ("://", re.compile(r"(?:\]\()?https?://[^\s)\]>]*[^\s)\]>.,;:!?]\)?")),
    ("[", re.compile(r"\[\^?\d{1,3}(?: ?[,;–-] ?\^?\d{1,3}){0,9}\]")),
    ("【", re.compile(r"【[^】]{1,80}】")),
    ("`", re.compile(r"`[^`\n]*`")),
)
"""Regular expression for what is removed first: link addresses, citation marks and code."""
_ENTRY = re.compile(r"[ \t]*\[\^?\d{1,3}\]:?[ \t]")
"""Regular expression for the beginning of a line in a list of sources."""
_LABEL = re.compile(r"[ \t]*\*\*[^*\n]{1,80}(?::\*\*|\*\*:)[ \t]*")
"""Regular expression for the label of a list item: `**Revenue:** …`."""
_END = re.compile(r"(?<=[.!?])[\"'”’)\]*_]{0,8}\s+")
_CLAIMING = frozenset({Kind.TEXT, Kind.ITEM, Kind.ROW})
_SUPPORTED = 0.6
"""Share of a claim's content words that must occur in the context."""
_TELLING = 4
"""Least length of a content word, in letters; shorter words are mostly function words."""


def grounded(answer: str, context: str | None) -> int | None:
    """Return the share (0-100) of the answer's claims that the context supports.

    A claim is supported when most of its content words and all of its numbers occur in the context. This finds invented
    facts, but not negated or rearranged ones. None without a context, or for an answer without claims.
    """
    if not context:
        return None
    known, figures = set(_words(context)), _figures(context)
    asked = [(telling, _figures(claim)) for claim in claims(answer) if (telling := _telling(claim))]
    if not asked:
        return None
    borne_out = sum(
        len(telling & known) >= _SUPPORTED * len(telling) and figures.issuperset(numbers) for telling, numbers in asked
    )
    return round(100 * borne_out / len(asked))


def claims(answer: str) -> Iterator[str]:
    """Yield the sentences of the answer that state something.

    Left out are headings, labels of lists and list items, code, link addresses, citation marks, lists of sources, and
    lines that only introduce what follows (`The figures:`).
    """
    for kind, line in lines(answer):
        if kind not in _CLAIMING or _ENTRY.match(line):
            continue
        label = _LABEL.match(line)
        text = line[label.end() :] if label else line
        for sign, removed in _SAYS_NOTHING:
            if sign in text:
                text = removed.sub(" ", text)
        if text.rstrip(" \t\r*_").endswith(":"):
            continue
        yield from _END.split(text)


def _words(text: str) -> list[str]:
    return _LETTERS.findall(text.casefold())


def _telling(claim: str) -> set[str]:
    return {word for word in _words(claim) if len(word) >= _TELLING and not word.isdigit()}


def _figures(text: str) -> set[str]:
    """Return the numbers in the text; 1,250 and 1250 are the same."""
    found = _NUMBER.findall(text)
    return {number.replace(",", "") if _GROUPED.fullmatch(number) else number for number in found}
