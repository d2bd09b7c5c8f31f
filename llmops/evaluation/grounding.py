"""Whether a context bears out what an answer claims: a measure of words and numbers, not of meaning."""

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
"""Links' addresses, the marks of citations, and code: what each begins with, and all of it."""
_ENTRY = re.compile(r"[ \t]*\[\^?\d{1,3}\]:?[ \t]")
"""How a line of a list of sources begins."""
_LABEL = re.compile(r"[ \t]*\*\*[^*\n]{1,80}(?::\*\*|\*\*:)[ \t]*")
"""What an item of a list is called before it says something: `**Revenue:** …`."""
_END = re.compile(r"(?<=[.!?])[\"'”’)\]*_]{0,8}\s+")
_CLAIMING = frozenset({Kind.TEXT, Kind.ITEM, Kind.ROW})
_SUPPORTED = 0.6
"""Share of a claim's telling words that must stand in the context."""
_TELLING = 4
"""Letters from which on a word is telling; shorter ones are mostly grammar."""


def grounded(answer: str, context: str | None) -> int | None:
    """Return the share (0-100) of the answer's claims that the context bears out.

    A claim is borne out when most of its telling words, and every number in it, stand in the context. That finds what
    was made up, and not what was turned around. None without a context, and for an answer that claims nothing.
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
    """Yield the sentences of the answer that say something of the world.

    None are: headings, the labels of lists and of their items, code, links' addresses, the marks of citations, lists of
    sources, and a line that only leads to what follows it (`The figures:`).
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
