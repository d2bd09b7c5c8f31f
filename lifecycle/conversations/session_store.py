"""Storage of sessions: a partition for each, with its runs, turns and events, changed in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.codec import if_readable
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, every, first_rows
from lifecycle.conversations.failed_run_index import FailedRuns
from lifecycle.conversations.run_callbacks import RunEnds, reports_of
from lifecycle.conversations.session_change import (
    Committed,
    CommitUncertain,
    ConversationChange,
    Decide,
    RunChanged,
    StoredConversation,
    Turn,
)
from lifecycle.conversations.session_commits import SessionWriter, Update
from lifecycle.conversations.session_rows import TABLE, SessionRows, partition_of

if TYPE_CHECKING:
    from kernel.journal import Event
    from lifecycle.conversations.long_texts import LongTexts
    from lifecycle.conversations.run import Run, RunState

__all__ = [
    "TABLE",
    "CommitUncertain",
    "Committed",
    "ConversationChange",
    "ConversationStore",
    "Decide",
    "RunChanged",
    "StoredConversation",
    "Turn",
]


class ConversationStore:
    """Reads and changes sessions."""

    def __init__(
        self,
        tables: Tables,
        texts: LongTexts,
        committed: Committed | None = None,
        run_changed: RunChanged | None = None,
        commit_uncertain: CommitUncertain | None = None,
    ) -> None:
        """Set the storage, and what is called with events and changed runs after a commit."""
        self._tables = tables
        self._rows = SessionRows(texts)
        self._failed = FailedRuns(tables)
        self._ends = RunEnds(tables)
        self._writer = SessionWriter(
            tables, self._rows, self._enter_indexes, self.load, committed, run_changed, commit_uncertain
        )

    async def load(self, workspace: str, session_id: str, run_id: str | None = None) -> StoredConversation:
        """Return the session and the run, read in parallel."""
        partition = partition_of(workspace, session_id)
        if run_id is None:
            session_row, run_row = await self._tables.get(TABLE, partition, "session"), None
        else:
            session_row, run_row = await asyncio.gather(
                self._tables.get(TABLE, partition, "session"), self._tables.get(TABLE, partition, f"run!{run_id}")
            )
        return await self._rows.stored(session_row, run_row)

    async def update(
        self,
        workspace: str,
        session_id: str,
        run_id: str | None,
        decide: Decide,
        *,
        known: StoredConversation | None = None,
    ) -> StoredConversation:
        """Commit the change that `decide` returns for the current state; decide again if that changed meanwhile.

        Args:
            workspace: The workspace.
            session_id: The session.
            run_id: The run to read too; None for none.
            decide: The rule. If it raises, nothing is changed and the error is passed on.
            known: The state as last read, to save reading it; ETags still guard the change.

        Raises:
            Unavailable: Other callers kept changing the session.
            TooLarge: The run or the session is too large to be stored.
        """
        return await self._writer.update(workspace, session_id, Update(run_id, decide, known))

    async def turns(self, workspace: str, session_id: str, first: int, limit: int) -> Sequence[Turn]:
        """Return up to `limit` (1-1000) messages in order, starting with sequence number `first`."""
        span = Span(partition_of(workspace, session_id), key_from=f"turn!{first:010d}", key_before="turn!~")
        rows = await first_rows(self._tables, TABLE, span, limit)
        return await self._rows.turns(workspace, session_id, rows)

    async def events(self, workspace: str, session_id: str, first: int, limit: int) -> Sequence[tuple[int, Event]]:
        """Return up to `limit` (1-1000) events with their sequence numbers, starting with `first`."""
        span = Span(partition_of(workspace, session_id), key_from=f"event!{first:010d}", key_before="event!~")
        rows = await first_rows(self._tables, TABLE, span, limit)
        found: list[tuple[int, Event]] = []
        for row in rows:
            reading = self._rows.events(workspace, session_id, row)
            numbered_events = await if_readable(reading, "events of a session", f"{row.partition}/{row.key}")
            found += [numbered for numbered in numbered_events or () if numbered[0] >= first]
            if len(found) >= limit:
                break
        return found[:limit]

    async def run(self, workspace: str, session_id: str, run_id: str, *, texts: bool = True) -> Run | None:
        """Return the run, None if there is none; with `texts` false, only the beginnings of long texts."""
        row = await self._tables.get(TABLE, partition_of(workspace, session_id), f"run!{run_id}")
        return await self._rows.run(row, texts=texts) if row else None

    async def runs(self, workspace: str, session_id: str, *, texts: bool = True) -> AsyncIterator[Run]:
        """Yield the session's readable runs; with `texts` false, only the beginnings of long texts."""
        async for row in every(self._tables, TABLE, Span.prefix(partition_of(workspace, session_id), "run!")):
            if (run := await self._run(row, texts=texts)) is not None:
                yield run

    async def runs_in(self, workspace: str, session_id: str, *states: RunState) -> AsyncIterator[Run]:
        """Yield the session's runs in the given states, state by state; filtered by the storage.

        Unreadable runs are skipped. Long texts are cut to their beginnings; `update` reads a run again before it
        changes it.
        """
        of_runs = Span.prefix(partition_of(workspace, session_id), "run!")
        for state in states:
            async for row in every(self._tables, TABLE, replace(of_runs, where={"state": state.value})):
                if (run := await self._run(row, texts=False)) is not None:
                    yield run

    async def clear(
        self, workspace: str, session_id: str, prefixes: Sequence[str] = ("run!", "turn!", "event!")
    ) -> None:
        """Remove the session's runs, turns and events, or only those under the key prefixes; the session stays."""
        partition = partition_of(workspace, session_id)
        for prefix in prefixes:
            while rows := await first_rows(self._tables, TABLE, Span.prefix(partition, prefix), MAX_WRITES):
                try:
                    await self._tables.commit(TABLE, [Delete(partition, row.key) for row in rows])
                except RowChanged:
                    continue  # another process clears it, or an earlier try took effect

    async def erase_texts(self, workspace: str, session_id: str) -> int:
        """Delete the session's long texts and return how many. Call it once none can be added any more."""
        return await self._rows.erase_texts(workspace, session_id)

    async def erase_texts_of(self, run: Run) -> None:
        """Delete the long texts of a finished run that are not the history's, too."""
        await self._rows.erase_texts_of(run)

    async def _run(self, row: Row, *, texts: bool) -> Run | None:
        return await if_readable(self._rows.run(row, texts=texts), "run", f"{row.partition}/{row.key}")

    async def _enter_indexes(self, before: Run | None, after: Run) -> None:
        """Enter a run in the indexes of runs that failed, and of what is to be reported, before its row says so."""
        if after.dead and not (before and before.dead):
            await self._failed.enter(after)
        if reports := reports_of(before, after):
            await self._ends.enter(reports)
