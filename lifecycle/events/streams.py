"""Streams of events that can be followed: a session's, with one shard, and a workspace's, with several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kernel.errors import NotFound
from kernel.journal import SHARDS, Event, Journal
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.store import ConversationStore
from lifecycle.events.cursors import Position, session_id_of, session_position, workspace_id_of, workspace_position

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
