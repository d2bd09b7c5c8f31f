"""The rules for keys of large texts, checked alike by every implementation."""

from __future__ import annotations

import re

_KEY = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_MAX_CHARACTERS = 1000  # of the 1,024 characters of a blob's name


def check_key(key: str) -> None:
    """Raise ValueError if the key is not valid."""
    if len(key) > _MAX_CHARACTERS or not _KEY.fullmatch(key):
        msg = "a key is parts of A-Z, a-z, 0-9, - and _ with slashes between them, at most 1,000 characters"
        raise ValueError(msg)


def check_prefix(prefix: str) -> None:
    """Raise ValueError if the prefix does not end at a slash, or is not valid."""
    if not prefix.endswith("/"):
        msg = "a prefix ends with a slash"
        raise ValueError(msg)
    check_key(prefix.removesuffix("/"))
