"""Indexes of runs by id and age, and of sessions by age, agent or user.

Table `runs`, partition `{workspace}!{shard}`, row `id!{run}`: a run's session and the digest of its request; and, in
the same transaction, row `at!…` with a key that sorts newest first: the list of runs.
Table `sessions`, partition `{workspace}!{shard}`, row key newest first: the list of sessions.
Table `opensessions`, partition `{workspace}!{agent}`, row `{session}`: the sessions that keep an agent from being
retired.
All are written before the session itself, so what exists is always found; what is found may not exist (yet).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.ids import created_of, newest_first
from kernel.lazy_dataclass import dataclass
from kernel.tables import Delete, Insert, Row, RowChanged, RowExists, Span, Tables, Upsert, every, first_rows
from lifecycle.conversations.session import Session, SessionState
from lifecycle.conversations.session_rows import TABLE, partition_of

if TYPE_CHECKING:
    from kernel.clock import Clock

RUNS = "runs"
SESSIONS = "sessions"
OPEN = "opensessions"
SHARDS = 8
"""Number of partitions for a workspace's sessions, so that none exceeds the service's 2,000 rows a second."""

_TICK = timedelta(milliseconds=1)  # resolution of times in keys
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # earliest time that a key can have
_AT_THE_SAME_TIME = timedelta(hours=1)
_LOOKED_AT = 10
_OVER = frozenset({SessionState.ENDED.value, SessionState.ERASED.value})


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run is: its session, its agent, and the digest of the request."""

    session_id: str
    agent: str
    digest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A session's index entry: its id and row key."""

    session_id: str
    key: str

    def is_of(self, session: Session) -> bool:
        """Return whether this entry is the session's own: concurrent callers may each have entered one for its id."""
        return self.key == newest_first(session.created_at, session.id)


@dataclass(frozen=True, slots=True)
class SessionEntry:
    """What an entry says of its session: whom it is with, whose it is (None for nobody's), and when it was made."""

    agent: str
    user_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run's list entry: session id, run id and row key."""

    session_id: str
    run_id: str
    key: str


class Directory:
    """Stores and reads the indexes of runs and sessions."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def claim_run(
        self, workspace: str, run_id: str, place: RunPlace, user_id: str | None = None
    ) -> tuple[RunPlace, bool]:
        """Enter the run and return its place and True; if it was entered before, its first place and False."""
        home, listed = _partition(workspace, run_id), f"at!{newest_first(self._clock(), run_id)}"
        where = {"session_id": place.session_id, "agent": place.agent}
        claim = Row(home, f"id!{run_id}", {**where, "digest": place.digest, "listed": listed})
        try:
            await self._tables.commit(RUNS, [Insert(claim), Insert(Row(home, listed, where | {"user_id": user_id}))])
        except RowExists:
            return await self.find_run(workspace, run_id) or place, False
        return place, True

    async def find_run(self, workspace: str, run_id: str) -> RunPlace | None:
        """Return where the run is; None if unknown."""
        row = await self._tables.get(RUNS, _partition(workspace, run_id), f"id!{run_id}")
        return RunPlace(row.text("session_id"), row.text("agent"), row.text("digest")) if row else None

    async def enter_session(self, session: Session) -> None:
        """Enter the session. Idempotent."""
        values = {"session_id": session.id, "agent": session.agent, "user_id": session.user_id or ""}
        key = newest_first(session.created_at, session.id)
        entered = {"at": session.created_at}
        await asyncio.gather(
            self._tables.commit(SESSIONS, [Upsert(Row(_partition(session.workspace, session.id), key, values))]),
            self._tables.commit(OPEN, [Upsert(Row(f"{session.workspace}!{session.agent}", session.id, entered))]),
        )

    async def close_session(self, workspace: str, agent: str, session_id: str) -> None:
        """Remove the session from the open sessions of the agent: it has ended or was never stored."""
        try:
            await self._tables.commit(OPEN, [Delete(f"{workspace}!{agent}", session_id)])
        except RowChanged:
            return

    async def forget_run(self, workspace: str, run_id: str) -> None:
        """Remove the run's entries; does nothing where there are none."""
        home = _partition(workspace, run_id)
        claim = await self._tables.get(RUNS, home, f"id!{run_id}")
        if claim is None:
            return
        try:
            await self._tables.commit(RUNS, [Delete(home, claim.key), Delete(home, claim.text("listed"))])
        except RowChanged:
            return

    async def forget_user(self, workspace: str, run_id: str) -> None:
        """Remove the user from the run's list entry."""
        home = _partition(workspace, run_id)
        claim = await self._tables.get(RUNS, home, f"id!{run_id}")
        listed = await self._tables.get(RUNS, home, claim.text("listed")) if claim else None
        if listed is not None:
            values = {name: value for name, value in listed.values.items() if name != "user_id"}
            await self._tables.commit(RUNS, [Upsert(Row(home, listed.key, values))])

    async def leave(self, session: Session) -> None:
        """Remove the session's entries, including those of concurrent callers that did not create it."""
        await self.close_session(session.workspace, session.agent, session.id)
        home, made = _partition(session.workspace, session.id), session.created_at
        span = Span(
            home,
            key_from=newest_first(made + _AT_THE_SAME_TIME, ""),
            key_before=newest_first(made - _AT_THE_SAME_TIME, ""),
            where={"session_id": session.id},
        )
        for row in [row async for row in every(self._tables, SESSIONS, span)]:
            try:
                await self._tables.commit(SESSIONS, [Delete(home, row.key)])
            except RowChanged:
                continue

    async def open_sessions(self, workspace: str, agent: str) -> frozenset[str]:
        """Return the ids of the agent's open sessions; ended ones may be among them for a while."""
        return frozenset([row.key async for row in every(self._tables, OPEN, Span(f"{workspace}!{agent}"))])

    async def has_open_session(self, workspace: str, agent: str) -> bool:
        """Return whether any session with the agent is open or is being started.

        An entry is made before its session. Entries whose session ended or was never stored are removed.
        """
        async for row in every(self._tables, OPEN, Span(f"{workspace}!{agent}"), page=_LOOKED_AT):
            entered = row.moment("at")
            if entered is not None and entered + _AT_THE_SAME_TIME > self._clock():
                return True
            session = await self._tables.get(TABLE, partition_of(workspace, row.key), "session")
            if session is not None and session.text("state") not in _OVER:
                return True
            try:
                await self._tables.commit(OPEN, [Delete(row.partition, row.key, row.etag)])
            except RowChanged:
                return True  # a session is being started meanwhile
        return False

    async def sessions(
        self, workspace: str, *, agent: str | None, user_id: str | None, limit: int, after: str | None
    ) -> tuple[Sequence[Entry], str | None]:
        """Return up to `limit` entries, newest first, and the token to continue after; None at the end.

        Concurrent callers may each have entered the same session: see `Entry.is_of`.
        """
        where = {"agent": agent, "user_id": user_id}
        span = Span("", key_from=f"{after} " if after else None)
        rows, more = await self._newest(SESSIONS, workspace, span, where, limit)
        return [Entry(row.text("session_id"), row.key) for row in rows], rows[-1].key if more else None

    async def entries_of(self, workspace: str, session_id: str) -> Sequence[SessionEntry]:
        """Return the session's entries: one, but for callers who made it at the same time.

        A whole shard is looked through for them, by the service.
        """
        span = Span(_partition(workspace, session_id), where={"session_id": session_id})
        rows = [row async for row in every(self._tables, SESSIONS, span)]
        return [SessionEntry(row.text("agent"), row.text("user_id") or None, created_of(row.key)) for row in rows]

    async def runs(
        self,
        workspace: str,
        *,
        agent: str | None,
        user_id: str | None,
        limit: int,
        after: str | None,
        first: datetime | None = None,
        before: datetime | None = None,
    ) -> tuple[Sequence[RunEntry], str | None]:
        """Return up to `limit` runs, newest first, and the token to continue after; None at the end.

        Lists only runs entered at `first` or later and before `before`; None for no bound.
        """
        where = {"agent": agent, "user_id": user_id}
        newest = f"at!{newest_first(before - _TICK, '')}" if before else "at!"
        oldest = f"at!{newest_first(first - _TICK, '')}" if first and first > _EPOCH else "at!~"
        span = Span("", key_from=f"at!{after} " if after else newest, key_before=oldest)
        rows, more = await self._newest(RUNS, workspace, span, where, limit)
        entries = [RunEntry(row.text("session_id"), row.key.rpartition("!")[2], row.key[3:]) for row in rows]
        return entries, entries[-1].key if more else None

    async def _newest(
        self, table: str, workspace: str, span: Span, where: Mapping[str, str | None], limit: int
    ) -> tuple[Sequence[Row], bool]:
        """Return the first rows of the span over all shards, in the order of their keys, and whether there are more."""
        wanted = {name: value for name, value in where.items() if value is not None}
        spans = [
            Span(f"{workspace}!{shard}", key_from=span.key_from, key_before=span.key_before, where=wanted)
            for shard in range(SHARDS)
        ]
        pages = await asyncio.gather(*(first_rows(self._tables, table, span, limit + 1) for span in spans))
        rows = sorted((row for page in pages for row in page), key=lambda row: row.key)
        return rows[:limit], len(rows) > limit


def _partition(workspace: str, session_id: str) -> str:
    return f"{workspace}!{hashlib.sha256(session_id.encode()).digest()[0] % SHARDS}"
