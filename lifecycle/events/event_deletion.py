"""Deletes old events: of workspaces by their age, of sessions that ended that long ago.

The oldest events of each shard of a journal go first, and with them the rows of sources that have no later events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.clock import Clock, hour_bucket
from kernel.codec import Unreadable, pass_over
from kernel.journal import SHARDS_PARTITION, TABLE
from kernel.lazy_dataclass import dataclass
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, every, first_rows
from lifecycle.conversations.session import SessionState

if TYPE_CHECKING:
    from kernel.due_index import DueIndex, Entry
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.events.daily_counts import DailyEventCounts


async def shards(tables: Tables) -> AsyncIterator[str]:
    """Yield the partition of every shard."""
    async for row in every(tables, TABLE, Span(SHARDS_PARTITION)):
        yield row.key


async def trim(tables: Tables, partition: str, before: datetime) -> int:
    """Delete the shard's appends up to the first with an event that is not older than `before`; return how many.

    A deleted event is stored again if it is recorded again under its key.
    """
    count = 0
    while True:
        found = await first_rows(tables, TABLE, Span.prefix(partition, "event!"), MAX_WRITES)
        old = _head(found, before)
        if not old:
            return count
        ready = await asyncio.gather(*(_deletions(tables, row) for row in old))
        fitting, appends = _fitting(ready)
        try:
            await tables.commit(TABLE, fitting)
        except RowChanged:
            continue  # a source has appended, or another process deletes too
        count += appends


def _head(rows: Sequence[Row], before: datetime) -> Sequence[Row]:
    for place, row in enumerate(rows):
        at = row.moment("at")
        if at is None or at >= before:
            return rows[:place]
    return rows


async def _deletions(tables: Tables, row: Row) -> Sequence[Delete]:
    """Return the deletions for an append and for the rows of its sources without later events."""
    partition, last = row.partition, int(row.key.removeprefix("event!"))
    keys = [f"source!{digest}" for digest in row.text("sources").split()]
    sources = await asyncio.gather(*(tables.get(TABLE, partition, key) for key in keys))
    idle = [source for source in sources if source is not None and source.integer("last") <= last]
    return [Delete(partition, row.key), *(Delete(partition, source.key, source.etag) for source in idle)]


def _fitting(parts: Sequence[Sequence[Delete]]) -> tuple[list[Delete], int]:
    """Return the first parts that fit in one commit, joined, and their number."""
    fitting: list[Delete] = []
    for count, part in enumerate(parts):
        if len(fitting) + len(part) > MAX_WRITES:
            return fitting, count
        fitting += part
    return fitting, len(parts)


_LONGER = timedelta(minutes=10)
"""How much longer events are kept than they may be published, so that none is published after its deletion."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Counts of one pass: deleted appends of workspaces' streams, and sessions whose events were deleted."""

    appends: int
    sessions: int


class EventRetention:
    """Deletes old events."""

    def __init__(
        self,
        tables: Tables,
        conversations: ConversationStore,
        due: DueIndex,
        daily_counts: DailyEventCounts,
        *,
        kept_for: timedelta,
        clock: Clock,
    ) -> None:
        self._tables = tables
        self._conversations = conversations
        self._due = due
        self._daily_counts = daily_counts
        self._kept_for = kept_for + _LONGER
        self._clock = clock

    async def apply(self) -> Deleted:
        """Delete old events, after counting them. A pass that is interrupted is continued by the next."""
        before = self._clock() - self._kept_for
        appends = 0
        async for shard in shards(self._tables):
            workspace, number = shard.split("!")
            await self._daily_counts.count_lane(workspace, int(number))
            appends += await trim(self._tables, shard, before)
        sessions = sum([await self._of_session(entry) async for entry in self._due.until(self._clock())])
        return Deleted(appends, sessions)

    async def _of_session(self, entry: Entry) -> bool:
        try:
            session = (await self._conversations.load(entry.workspace, entry.name)).session
        except Unreadable as error:
            pass_over("session", f"{entry.workspace}/{entry.name}", error)
            return False
        cleared = False
        if session is not None and session.state is SessionState.ENDED and session.ended_at is not None:
            due = session.ended_at + self._kept_for
            if due > self._clock():
                if hour_bucket(due) != entry.hour:
                    await self._due.add(entry.workspace, entry.name, due)
                    await self._due.drop(entry.workspace, entry.name, entry.hour)
                return False
            await self._conversations.clear(entry.workspace, entry.name, ["event!"])
            cleared = True
        await self._due.drop(entry.workspace, entry.name, entry.hour)
        return cleared
