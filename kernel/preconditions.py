"""Preconditions of changes: what a caller has read must still be so."""

from __future__ import annotations

from kernel.errors import EtagMismatch


def check_match(if_match: str | None, etag: str | None) -> None:
    """Check what a caller says in `If-Match` (RFC 9110 §13.1.1).

    Args:
        if_match: None asks for nothing, `*` that the thing is there, anything else that this is its ETag.
        etag: The thing's ETag; None or empty where it is not there.

    Raises:
        EtagMismatch: It is not so.
    """
    if if_match is not None and (not etag or if_match not in ("*", etag)):
        raise EtagMismatch
