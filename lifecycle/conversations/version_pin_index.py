"""Index of the open sessions that are pinned to a version of an agent.

Table `opensessions`, partition `{workspace}!{agent}!pins`, row `{fingerprint}!{session}`. A row is written before the
session is pinned, so a version that a session is pinned to is always found; outdated rows are removed when they are
read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import Unreadable, pass_over
from kernel.errors import Conflict, NotFound
from kernel.journal import Event
from kernel.tables import Delete, Row, RowChanged, Span, Tables, Upsert, every
from lifecycle.conversations.run_and_session_indexes import OPEN
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.session import Session

_YOUNG = timedelta(hours=1)
"""For this long, a row without a session may belong to a session that is about to be stored."""
_AT_ONCE = 16


class Pins:
    """Stores and counts pinned sessions."""

    def __init__(self, tables: Tables, conversations: ConversationStore, clock: Clock) -> None:
        self._tables = tables
        self._conversations = conversations
        self._clock = clock

    async def add(self, session: Session) -> None:
        """Enter a session that is about to be stored, if it is pinned."""
        if session.pin is not None:
            key = f"{session.pin.fingerprint}!{session.id}"
            row = Row(_partition(session.workspace, session.agent), key, {"at": self._clock()})
            await self._tables.commit(OPEN, [Upsert(row)])

    async def drop(self, session: Session) -> None:
        """Remove the entry of a session that has ended, if it was pinned."""
        if session.pin is not None:
            await self._drop(session.workspace, session.agent, f"{session.pin.fingerprint}!{session.id}")

    async def unpin(self, workspace: str, session_id: str) -> Session:
        """Have the session use the agent as currently declared; does nothing if it is not pinned.

        Raises:
            NotFound: There is no such session.
            Conflict: It has ended, or a run of it is not finished.
        """
        pinned: Session | None = None

        def decide(stored: StoredConversation) -> ConversationChange | None:
            nonlocal pinned
            session, pinned = stored.session, stored.session
            if session is None:
                msg = f"There is no session {session_id!r}."
                raise NotFound(msg, code="session_not_found")
            if session.over:
                msg = f"Session {session_id!r} has ended."
                raise Conflict(msg, code="session_ended")
            if session.pin is None:
                return None
            if session.pending:
                msg = "A run of the session is not finished; cancel it or wait for it first."
                raise Conflict(msg, code="session_busy")
            return ConversationChange(
                replace(session, terms=replace(session.terms, pin=None)),
                events=[Event("session.unpinned", {}, self._clock())],
            )

        after = (await self._conversations.update(workspace, session_id, None, decide)).session
        if after is None:
            raise NotFound(code="session_not_found")
        if pinned is not None and pinned.pin is not None:
            await self._drop(workspace, pinned.agent, f"{pinned.pin.fingerprint}!{session_id}")
        return after

    async def counts(self, workspace: str, agent: str) -> Mapping[str, int]:
        """Return how many open sessions are pinned to each version of the agent, by the version's fingerprint."""
        counts: Counter[str] = Counter()
        rows: list[Row] = []
        async for row in every(self._tables, OPEN, Span(_partition(workspace, agent))):
            rows.append(row)
            if len(rows) == _AT_ONCE:
                counts += await self._count_valid(workspace, agent, rows)
                rows = []
        return counts + await self._count_valid(workspace, agent, rows)

    async def _count_valid(self, workspace: str, agent: str, rows: list[Row]) -> Counter[str]:
        """Return the counts of valid rows, and remove the others."""
        holds = await asyncio.gather(*(self._is_valid(workspace, row) for row in rows))
        left_over = [row.key for row, held in zip(rows, holds, strict=True) if not held]
        await asyncio.gather(*(self._drop(workspace, agent, key) for key in left_over))
        return Counter(row.key.split("!", 1)[0] for row, held in zip(rows, holds, strict=True) if held)

    async def _is_valid(self, workspace: str, row: Row) -> bool:
        made_from, session_id = row.key.split("!", 1)
        try:
            session = (await self._conversations.load(workspace, session_id)).session
        except Unreadable as error:
            pass_over("session", f"{workspace}/{session_id}", error)
            return True  # it may be pinned; its version is kept until it is erased
        if session is None:
            return (row.moment("at") or datetime.min.replace(tzinfo=UTC)) > self._clock() - _YOUNG
        return not session.over and session.pin is not None and session.pin.fingerprint == made_from

    async def _drop(self, workspace: str, agent: str, key: str) -> None:
        with suppress(RowChanged):
            await self._tables.commit(OPEN, [Delete(_partition(workspace, agent), key)])


def _partition(workspace: str, agent: str) -> str:
    return f"{workspace}!{agent}!pins"  # agents' names cannot contain `!`
