"""Streams of events that can be followed: a session's, with one shard, and a workspace's, with several.

A reader's position has a number for each shard, and a form as Last-Event-ID.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from kernel.errors import InvalidInput, NotFound
from kernel.journal import SHARDS, Event, Journal
from lifecycle.conversations.session import SessionState

if TYPE_CHECKING:
    from lifecycle.conversations.session_store import ConversationStore

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


Numbered = tuple[int, Event]


class Stream(Protocol):
    """Numbered events in shards, each shard in order."""

    @property
    def key(self) -> str:
        """Name of the stream in this process."""
        ...

    async def ends(self) -> Sequence[int]:
        """Return, for each shard, the number of its next event.

        Raises:
            NotFound: The stream does not exist (any more).
        """
        ...

    async def read(self, shard: int, first: int, limit: int) -> Sequence[Numbered]:
        """Return up to `limit` events of the shard with their numbers, starting with `first`."""
        ...

    def id_of(self, position: Position) -> str:
        """Return the position as Last-Event-ID."""
        ...

    def position(self, text: str) -> Position:
        """Return the position in a Last-Event-ID.

        Raises:
            InvalidInput: It is not valid for this stream.
        """
        ...


class SessionStream(Stream):
    """A session's events."""

    def __init__(self, conversations: ConversationStore, workspace: str, session_id: str) -> None:
        self._conversations = conversations
        self._workspace = workspace
        self._session_id = session_id

    @property
    def key(self) -> str:
        """Name of the stream in this process."""
        return session_key(self._workspace, self._session_id)

    async def ends(self) -> Sequence[int]:
        """Return the number of the session's next event."""
        session = (await self._conversations.load(self._workspace, self._session_id)).session
        if session is None or session.state is SessionState.ERASED:
            raise NotFound(f"There is no session {self._session_id!r}.", code="session_not_found")
        return [session.events]

    async def read(self, shard: int, first: int, limit: int) -> Sequence[Numbered]:
        """Return up to `limit` events starting with `first`; there is one shard."""
        return await self._conversations.events(self._workspace, self._session_id, first, limit)

    def id_of(self, position: Position) -> str:
        """Return the Last-Event-ID: the number of the last event read."""
        return session_id_of(position)

    def position(self, text: str) -> Position:
        """Return the position after the event with this number."""
        return session_position(text)


class WorkspaceStream(Stream):
    """A workspace's events."""

    def __init__(self, journal: Journal, workspace: str) -> None:
        self._journal = journal
        self._workspace = workspace

    @property
    def key(self) -> str:
        """Name of the stream in this process."""
        return self._workspace

    async def ends(self) -> Sequence[int]:
        """Return, for each shard, the number of its next event; a workspace's stream always exists."""
        return await self._journal.ends(self._workspace)

    async def read(self, shard: int, first: int, limit: int) -> Sequence[Numbered]:
        """Return up to `limit` events of the shard starting with `first`."""
        return await self._journal.read(self._workspace, shard, first, limit)

    def id_of(self, position: Position) -> str:
        """Return the Last-Event-ID: opaque, valid for this workspace only."""
        return workspace_id_of(self._workspace, position)

    def position(self, text: str) -> Position:
        """Return the position in a Last-Event-ID of this workspace."""
        return workspace_position(self._workspace, text, SHARDS)


def session_key(workspace: str, session_id: str) -> str:
    """Return the name of a session's stream in this process."""
    return f"{workspace}!{session_id}"
