"""Deletes old events: of workspaces by their age, of sessions that ended that long ago."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from kernel.clock import Clock, hour_bucket
from kernel.codec import Unreadable, pass_over
from kernel.due_index import DueIndex, Entry
from kernel.journal_retention import shards, trim
from kernel.tables import Tables
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.store import ConversationStore
from lifecycle.events.daily_counts import DailyEventCounts

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
