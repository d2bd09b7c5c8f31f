"""Text from outside, made safe for error messages."""

from __future__ import annotations

_LONGEST = 64


def shown(name: str) -> str:
    """Return a name from outside for an error's detail: printable characters only, cut at 64."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name[: _LONGEST + 1])
    return clean if len(name) <= _LONGEST else f"{clean[:_LONGEST]}…"
