"""Positions of readers in streams, and their form as Last-Event-ID."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence

from kernel.errors import InvalidInput

Position = tuple[int, ...]
"""For each shard, the number of the next event to read."""

_TAG_BYTES = 4
_MOST = 1 << 53


def advanced(position: Position, shard: int, number: int) -> Position:
    """Return the position after the shard's event of that number."""
    return (*position[:shard], number + 1, *position[shard + 1 :])


def session_id_of(position: Position) -> str:
    """Return the position as Last-Event-ID of a session's stream: the number of the last event read."""
    return str(position[0] - 1)


def session_position(text: str) -> Position:
    """Return the position in a session's Last-Event-ID.

    Raises:
        InvalidInput: It is not valid.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise unknown()
    return (int(text) + 1,)


def workspace_id_of(workspace: str, position: Position) -> str:
    """Return the position as Last-Event-ID of a workspace's stream: opaque, valid for this workspace only."""
    numbers = b"".join(map(_packed, position))
    return base64.urlsafe_b64encode(_tag(workspace, numbers) + numbers).decode().rstrip("=")


def workspace_position(workspace: str, text: str, shards: int) -> Position:
    """Return the position in a workspace's Last-Event-ID.

    Raises:
        InvalidInput: It is not valid, or is another workspace's.
    """
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        position = tuple(_unpacked(content[_TAG_BYTES:]))
    except ValueError:
        raise unknown() from None
    if len(position) != shards or workspace_id_of(workspace, position) != text:
        raise unknown()
    return position


def unknown() -> InvalidInput:
    """Return the error for a Last-Event-ID that is not of this stream."""
    msg = "Last-Event-ID is not an id of an event of this stream."
    return InvalidInput(msg, code="invalid_last_event_id", fields={"Last-Event-ID": "unknown"})


def _tag(workspace: str, numbers: bytes) -> bytes:
    return hashlib.sha256(f"{workspace}/".encode() + numbers).digest()[:_TAG_BYTES]


def _packed(number: int) -> bytes:
    """Return the number as a varint: seven bits a byte, lowest first; every byte but the last has the high bit set."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _unpacked(content: Sequence[int]) -> Iterator[int]:
    number = shift = 0
    for byte in content:
        number |= (byte & 0x7F) << shift
        shift += 7
        if number >= _MOST:
            raise ValueError
        if not byte & 0x80:
            yield number
            number = shift = 0
    if shift:
        raise ValueError
