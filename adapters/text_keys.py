"""What keys of large texts may be, checked alike by every implementation."""

from __future__ import annotations

import re

_KEY = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_MAX_CHARACTERS = 1000  # of the 1,024 of a blob's name


def check_key(key: str) -> None:
    """Raise ValueError if this is no key."""
    if len(key) > _MAX_CHARACTERS or not _KEY.fullmatch(key):
        msg = "a key is parts of A-Z, a-z, 0-9, - and _ with slashes between them, at most 1,000 characters"
        raise ValueError(msg)


def check_prefix(prefix: str) -> None:
    """Raise ValueError if this is no prefix of whole parts."""
    if not prefix.endswith("/"):
        msg = "a prefix ends with a slash"
        raise ValueError(msg)
    check_key(prefix.removesuffix("/"))
