"""Deleting events that are old enough: of workspaces by their age, of sessions once they have ended for as long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from kernel.clock import Clock, hour_bucket
from kernel.due import DueIndex, Entry
from kernel.tables import Tables
from kernel.trimming import lanes, trim
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.store import Conversations
from lifecycle.events.tally import Tally

_LONGER = timedelta(minutes=10)
"""How much longer events are kept than the publisher may publish them, so that none is published after its deletion."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What one pass deleted: appends to workspaces' streams, and ended sessions' events."""

    appends: int
    sessions: int


class EventRetention:
    """Deletes events."""

    def __init__(
        self,
        tables: Tables,
        conversations: Conversations,
        due: DueIndex,
        tally: Tally,
        *,
        kept_for: timedelta,
        clock: Clock,
    ) -> None:
        self._tables = tables
        self._conversations = conversations
        self._due = due
        self._tally = tally
        self._kept_for = kept_for + _LONGER
        self._clock = clock

    async def apply(self) -> Deleted:
        """Delete what is old enough, once it is counted; a pass that is cut short is gone on with by the next one."""
        before = self._clock() - self._kept_for
        appends = 0
        async for lane in lanes(self._tables):
            workspace, number = lane.split("!")
            await self._tally.count_lane(workspace, int(number))
            appends += await trim(self._tables, lane, before)
        sessions = sum([await self._of_session(entry) async for entry in self._due.until(self._clock())])
        return Deleted(appends, sessions)

    async def _of_session(self, entry: Entry) -> bool:
        session = (await self._conversations.load(entry.workspace, entry.name)).session
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
