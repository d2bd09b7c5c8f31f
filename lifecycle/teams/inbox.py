"""What waits for people, and what waits for room: found by rows that are written before a session waits.

Table `teams`:
partition `{workspace}`, row `inbox!{since}!{session}`: a conversation that a person has;
partition `{workspace}!{team}`, row `room!{since}!{session}`: a conversation that no member has room for.
An entry too many is dropped when it is met.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kernel.clock import Clock
from kernel.codec import Unreadable, pass_over
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.conversations.session import Session
from lifecycle.conversations.store import ConversationStore
from lifecycle.teams.seats import TABLE, home

_PAGE = 200
_YOUNG = timedelta(minutes=10)
"""For so long an entry may be ahead of the session that is about to say so."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation that waits, and where its entry stands."""

    session: Session
    key: str


class Inbox:
    """Enters and finds conversations that wait."""

    def __init__(self, tables: Tables, conversations: ConversationStore, clock: Clock) -> None:
        self._tables = tables
        self._conversations = conversations
        self._clock = clock

    async def enter(self, workspace: str, session_id: str, since: datetime) -> None:
        """Enter a conversation that is about to wait for a person."""
        await self._tables.commit(TABLE, [Upsert(Row(workspace, _key("inbox", since, session_id), {"at": since}))])

    async def leave(self, workspace: str, session_id: str, since: datetime) -> None:
        """Remove the entry of a conversation that does not wait for a person any more."""
        await self._drop(workspace, _key("inbox", since, session_id))

    async def page(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Waiting], str | None]:
        """Return up to `limit` conversations that people have, the longest waiting first, and where to continue."""
        found: list[Waiting] = []
        while True:
            span = Span.prefix(workspace, "inbox!", after=f"inbox!{after}" if after else None)
            rows = await first_rows(self._tables, TABLE, span, limit + 1)
            for row in rows:
                if len(found) == limit:
                    return found, after
                after = row.key.removeprefix("inbox!")
                session = await self._waits(workspace, row, "desk")
                if session is not None:
                    found.append(Waiting(session, after))
            if len(rows) <= limit:
                return found, None

    async def all(self, workspace: str) -> AsyncIterator[Waiting]:
        """Yield every conversation that a person has, the longest waiting first."""
        after: str | None = None
        while True:
            found, after = await self.page(workspace, _PAGE, after)
            for waiting in found:
                yield waiting
            if after is None:
                return

    async def enter_room(self, workspace: str, team: str, session_id: str, since: datetime) -> None:
        """Enter a conversation that is about to wait for room."""
        row = Row(home(workspace, team), _key("room", since, session_id), {"at": since})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def for_room(self, workspace: str, team: str) -> AsyncIterator[Waiting]:
        """Yield the conversations that wait for room in a team, the longest waiting first."""
        async for row in every(self._tables, TABLE, Span.prefix(home(workspace, team), "room!")):
            session = await self._waits(workspace, row, "room")
            if session is not None:
                yield Waiting(session, row.key)

    async def leave_room(self, workspace: str, team: str, waiting: Waiting) -> None:
        """Remove the entry of a conversation that a member has now."""
        await self._drop(home(workspace, team), waiting.key)

    async def _waits(self, workspace: str, row: Row, what: str) -> Session | None:
        """Return the entry's session if it waits, and drop an entry that is no longer so."""
        ident = row.key.split("!", 2)[2]
        try:
            session = (await self._conversations.load(workspace, ident)).session
        except Unreadable as error:
            pass_over("session", f"{workspace}/{ident}", error)
            return None
        served = session.served if session and not session.over else None
        at = row.moment("at")
        if served is not None and what == "desk" and served.desk is not None and served.desk.since == at:
            return session
        if served is not None and what == "room" and not served.member:
            return session
        if at is None or at < self._clock() - _YOUNG:
            await self._drop(row.partition, row.key)
        return None

    async def _drop(self, partition: str, key: str) -> None:
        try:
            await self._tables.commit(TABLE, [Delete(partition, key)])
        except RowChanged:
            return


def _key(kind: str, since: datetime, session_id: str) -> str:
    return f"{kind}!{int(since.timestamp() * 1_000_000):020d}!{session_id}"
