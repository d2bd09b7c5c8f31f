"""Whether an answer's claims are supported by a context, by comparing words and numbers, not meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmops.evaluation.markdown import Kind, lines

_WORD = re.compile(r"[^\W_]+")
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
    lines
    that only introduce what follows (`The figures:`).
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
    return _WORD.findall(text.casefold())


def _telling(claim: str) -> set[str]:
    return {word for word in _words(claim) if len(word) >= _TELLING and not word.isdigit()}


def _figures(text: str) -> set[str]:
    """Return the numbers in the text; 1,250 and 1250 are the same."""
    found = _NUMBER.findall(text)
    return {number.replace(",", "") if _GROUPED.fullmatch(number) else number for number in found}
