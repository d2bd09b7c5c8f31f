"""Parsing responses of a Table service, including the multipart response to an entity group transaction.

The response is multipart/mixed with one change set response, which contains an HTTP response for each operation, or
only that of the operation that failed
(learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions). RFC 2046 allows a preamble, an
epilogue and blanks after a boundary; lines may end in LF alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from kernel.lazy_dataclass import dataclass

_BOUNDARY = re.compile(r'multipart/mixed\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_CR, _LF = b"\r\n"
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?:[ \r\n]|\Z)")
_XML_CODE = re.compile(rb"<(?:\w+:)?code>(\w+)<", re.IGNORECASE)


class UnreadableAnswer(Exception):
    """A response that violates the protocol."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: The status code.
        headers: By name: in any case those of a whole response, in lower case those of a part.
        body: Its bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the operation took effect."""
        return 200 <= self.status < 300

    @property
    def etag(self) -> str:
        """The ETag of a written row; empty for none."""
        return self.headers.get("etag", "")

    @property
    def code(self) -> str | None:
        """The service's error code, from the JSON or XML body or else the header; None for none."""
        with suppress(ValueError, LookupError, TypeError):
            return str(json.loads(self.body)["odata.error"]["code"])
        found = _XML_CODE.search(self.body)
        return found[1].decode() if found else self.headers.get("x-ms-error-code")


def parts(answer: Answer) -> Sequence[Answer]:
    """Return the responses to the operations of a transaction, in order.

    Raises:
        UnreadableAnswer: The body violates the protocol, or is truncated.
    """
    found = _responses(answer.headers.get("content-type", ""), answer.body)
    if not found:
        raise UnreadableAnswer
    return found


def _responses(content_type: str, body: bytes) -> list[Answer]:
    matched = _BOUNDARY.match(content_type)
    if matched is None:
        raise UnreadableAnswer
    found: list[Answer] = []
    for section in _sections(body, (matched[1] or matched[2]).encode()):
        headers, content = _headed(section)
        kind = headers.get("content-type", "")
        if kind.lower().startswith("multipart/mixed"):
            found += _responses(kind, content)
        elif kind.lower().startswith("application/http"):
            found.append(_response(content))
        else:
            raise UnreadableAnswer
    return found


def _sections(body: bytes, boundary: bytes) -> list[bytes]:
    """Return the sections between boundary lines; the last must be closed."""
    mark = b"--" + boundary
    sections: list[bytes] = []
    start: int | None = None
    at = body.find(mark)
    while at >= 0:
        line_end = body.find(b"\n", at)
        line = body[at + len(mark) : line_end if line_end >= 0 else len(body)].rstrip(b" \t\r")
        if line in (b"", b"--") and (at == 0 or body[at - 1] == _LF):
            if start is not None:
                end = at - 1 if body[at - 2 : at - 1] != b"\r" else at - 2
                sections.append(body[start:end])
            if line:
                return sections
            start = line_end if line_end >= 0 else len(body)
        at = body.find(mark, at + len(mark))
    raise UnreadableAnswer


def _headed(section: bytes) -> tuple[dict[str, str], bytes]:
    """Return a section's headers, by names in lower case, and the body after the first empty line."""
    head, separator, content = _cut(section.lstrip(b"\r\n"))
    if not separator:
        raise UnreadableAnswer
    return _headers(head), content


def _response(content: bytes) -> Answer:
    content = content.lstrip(b"\r\n")
    status = _STATUS.match(content)
    if status is None:
        raise UnreadableAnswer
    head, _, body = _cut(content)
    return Answer(int(status[1]), _headers(head.partition(b"\n")[2]), body)


def _cut(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what is before the first empty line, that line (empty for none), and what is after it."""
    usual, bare = text.find(b"\n\r\n"), text.find(b"\n\n")
    if usual > 0 and text[usual - 1] == _CR and (bare < 0 or bare > usual):
        return text[: usual - 1], text[usual - 1 : usual + 3], text[usual + 3 :]
    found = _BLANK_LINE.search(text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, b"", b"")


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\n"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
