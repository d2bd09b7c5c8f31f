"""Indexes of sessions that wait for people or for a free member; written before a session waits.

Table `teams`:
partition `{workspace}`, row `inbox!{since}!{session}`: a session that a person has;
partition `{workspace}!{team}`, row `member!{since}!{session}`: a session that no member is free for.
Outdated entries are removed when they are read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import Unreadable, pass_over
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.conversations.session import Session
from lifecycle.teams.member_workload import TABLE, home

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.session_store import ConversationStore

_PAGE = 200
_YOUNG = timedelta(minutes=10)
"""For this long an entry without its session may be of one that is about to be stored."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that waits, and its entry's key."""

    session: Session
    key: str


class Inbox:
    """Stores and reads waiting sessions."""

    def __init__(self, tables: Tables, conversations: ConversationStore, clock: Clock) -> None:
        self._tables = tables
        self._conversations = conversations
        self._clock = clock

    async def enter(self, workspace: str, session_id: str, since: datetime) -> None:
        """Enter a session that is about to wait for a person."""
        await self._tables.commit(TABLE, [Upsert(Row(workspace, _key("inbox", since, session_id), {"at": since}))])

    async def leave(self, workspace: str, session_id: str, since: datetime) -> None:
        """Remove the entry of a session that no longer waits for a person."""
        await self._drop(workspace, _key("inbox", since, session_id))

    async def page(self, workspace: str, limit: int, after: str | None = None) -> tuple[Sequence[Waiting], str | None]:
        """Return up to `limit` sessions that people have, oldest first, and the key to continue after.

        Those without anything left to answer are left out, unless somebody has claimed them.
        """
        found: list[Waiting] = []
        while True:
            span = Span.prefix(workspace, "inbox!", after=f"inbox!{after}" if after else None)
            rows = await first_rows(self._tables, TABLE, span, limit + 1)
            for row in rows:
                if len(found) == limit:
                    return found, after
                after = row.key.removeprefix("inbox!")
                session = await self._waits(workspace, row, "person")
                if session is not None:
                    found.append(Waiting(session, after))
            if len(rows) <= limit:
                return found, None

    async def all(self, workspace: str) -> AsyncIterator[Waiting]:
        """Yield every session that a person has, oldest first."""
        after: str | None = None
        while True:
            found, after = await self.page(workspace, _PAGE, after)
            for waiting in found:
                yield waiting
            if after is None:
                return

    async def enter_for_member(self, workspace: str, team: str, session_id: str, since: datetime) -> None:
        """Enter a session that is about to wait for a free member."""
        row = Row(home(workspace, team), _key("member", since, session_id), {"at": since})
        await self._tables.commit(TABLE, [Upsert(row)])

    async def waiting_for_member(self, workspace: str, team: str) -> AsyncIterator[Waiting]:
        """Yield the sessions that wait for a free member of the team, oldest first."""
        async for row in every(self._tables, TABLE, Span.prefix(home(workspace, team), "member!")):
            session = await self._waits(workspace, row, "member")
            if session is not None:
                yield Waiting(session, row.key)

    async def leave_for_member(self, workspace: str, team: str, waiting: Waiting) -> None:
        """Remove the entry of a session that a member has now."""
        await self._drop(home(workspace, team), waiting.key)

    async def _waits(self, workspace: str, row: Row, what: str) -> Session | None:
        """Return the entry's session if it waits; else remove the entry and return None."""
        ident = row.key.split("!", 2)[2]
        try:
            session = (await self._conversations.load(workspace, ident)).session
        except Unreadable as error:
            pass_over("session", f"{workspace}/{ident}", error)
            return None
        assignment = session.assignment if session and not session.over else None
        at = row.moment("at")
        if (
            assignment is not None
            and what == "person"
            and assignment.person_wait is not None
            and assignment.person_wait.since == at
        ):
            return None if assignment.person_wait.idle else session  # the entry is needed once something is asked
        if assignment is not None and what == "member" and not assignment.member:
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
