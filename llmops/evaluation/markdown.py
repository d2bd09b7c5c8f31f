"""The elements of a Markdown answer, line by line, in one pass: the time is linear in the length of the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Literal

Structure = Literal["paragraphs", "bullets", "headings", "table", "code", "json"]

_HEADING = re.compile(r"#{1,6}[ \t]+\S")
_BOLD_LINE = re.compile(r"[ \t]*(?:\*\*[^*\n]{1,200}\*\*|__[^_\n]{1,200}__):?[ \t]*")
_ITEM = re.compile(r"[ \t]*(?:[-*•+]|\d{1,3}[.)]|[A-Za-z][.)])[ \t]+(?=\S)")
_BULLET = re.compile(r"[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t]+\S")
_FENCE = "```"


class Kind(Enum):
    """The kind of a line of Markdown."""

    BLANK = "blank"
    HEADING = "heading"  # `# Title`, a line in bold, and the head of a table
    ITEM = "item"  # a list item, without its marker
    ROW = "row"  # a row of a table, below its head
    RULE = "rule"  # between the head of a table and its rows
    CODE = "code"  # fences, and the code between them
    TEXT = "text"


def lines(text: str) -> Iterator[tuple[Kind, str]]:
    """Yield each line with its kind; a fence that is never closed makes all following lines code."""
    split = text.split("\n")
    fenced = in_table = False
    for number, line in enumerate(split):
        following = split[number + 1] if number + 1 < len(split) else ""
        if line.startswith(_FENCE):
            fenced = not (fenced and line.rstrip() == _FENCE)
            yield Kind.CODE, line
            continue
        if fenced:
            yield Kind.CODE, line
            continue
        row = _is_row(line)
        if row and _is_rule(line):
            yield Kind.RULE, line
        elif row and not in_table and _is_rule(following):
            in_table = True
            yield Kind.HEADING, line
        elif row:
            yield Kind.ROW, line
        elif not line or line.isspace():
            yield Kind.BLANK, line
        elif _HEADING.match(line) or _BOLD_LINE.fullmatch(line):
            yield Kind.HEADING, line
        elif label := _ITEM.match(line):
            yield Kind.ITEM, line[label.end() :]
        else:
            yield Kind.TEXT, line
        in_table = in_table and row


def has(text: str, wanted: Sequence[Structure]) -> int:
    """Return how many of the wanted elements the text has; `json` means the whole text is an object or list."""
    found = _elements(text)
    return sum(is_json(text) if element == "json" else element in found for element in wanted)


def is_json(text: str) -> bool:
    """Return whether the text is a JSON object or list."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _elements(text: str) -> set[Structure]:
    found: set[Structure] = set()
    bullets = 0
    written = parted = fenced = False
    before = ""
    for line in text.split("\n"):
        blank = not line or line.isspace()
        if not blank and parted:
            found.add("paragraphs")
        parted = parted or (blank and written)
        written = written or not blank
        if fenced and line.startswith(_FENCE) and line.rstrip(" \t\r") == _FENCE:
            found.add("code")
            fenced = False
        elif line.startswith(_FENCE):
            fenced = True
        if _HEADING.match(line):
            found.add("headings")
        if _is_rule(line) and _is_row(before):
            found.add("table")
        bullets += bool(_BULLET.match(line))
        before = line
    if bullets > 1:
        found.add("bullets")
    return found


def _is_row(line: str) -> bool:
    text = line.strip()
    return len(text) > 2 and text[0] == "|" and text[-1] == "|"


def _is_rule(line: str) -> bool:
    return _is_row(line) and not line.strip().strip(" \t:|-")
