"""Ends sessions: on request, and when they time out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.clock import Clock, hour_bucket
from kernel.codec import if_readable
from kernel.errors import AppError, Conflict, NotFound
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.message_delivery import SESSION_EXPIRED, too_late
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import BY_REQUEST, IDLE_TIMEOUT, Session, SessionState
from lifecycle.conversations.session_rules import next_look, overdue
from lifecycle.conversations.session_updates import outcome, session_ended

if TYPE_CHECKING:
    from kernel.due_index import DueIndex, Entry
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation

log = logging.getLogger(__name__)

Record = Callable[[Run], Awaitable[None]]
"""Writes the facts of a run's ended attempts."""

RemoveEntries = Callable[[Session], Awaitable[None]]
"""Removes an ended session's other entries: its pin, its seat in a team."""

PublishAll = Callable[[str, str], Awaitable[None]]
"""Publishes all events committed in a session, including those that a crashed process did not publish."""


class SessionEnd:
    """Ends sessions and cleans up after them."""

    def __init__(
        self,
        conversations: ConversationStore,
        directory: Directory,
        remove_entries: RemoveEntries,
        due: DueIndex,
        *,
        publish_all: PublishAll,
        record: Record,
        idle_after: timedelta,
        clock: Clock,
    ) -> None:
        self._publish_all = publish_all
        self._record = record
        self._conversations = conversations
        self._directory = directory
        self._remove_entries = remove_entries
        self._due = due
        self._idle_after = idle_after
        self._clock = clock

    async def end(self, workspace: str, session_id: str) -> Session:
        """End the session on request; does nothing if it has ended.

        Raises:
            NotFound: The session does not exist.
            Conflict: A run of it is not finished (code `session_busy`).
        """

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.session is None or stored.session.state is SessionState.ERASED:
                msg = f"There is no session {session_id!r}."
                raise NotFound(msg, code="session_not_found")
            if stored.session.over:
                return None
            if stored.session.pending:
                msg = "A run of the session is not finished; cancel it or wait for it first."
                raise Conflict(msg, code="session_busy")
            return session_ended(stored.session, BY_REQUEST, self._clock())

        stored = await self._conversations.update(workspace, session_id, None, decide)
        if stored.session is None:
            raise NotFound(code="session_not_found")
        await self._directory.close_session(workspace, stored.session.agent, session_id)
        await self._remove_entries(stored.session)
        return stored.session

    async def expire(self) -> int:
        """End every session that has timed out, and return how many. Reads only due entries."""
        now = self._clock()
        count = 0
        async for entry in self._due.until(now):
            try:
                count += await self._expire_entered(entry, now)
            except AppError as error:
                # One session's failure must not keep the others from ending; it is tried again in the next round.
                log.warning("session not ended: %s", error.code, extra={"event": "session.not_ended"})
        return count

    async def _expire_entered(self, entry: Entry, now: datetime) -> bool:
        """Return whether the entered session was ended."""
        stored = await if_readable(
            self._conversations.load(entry.workspace, entry.name), "session", f"{entry.workspace}/{entry.name}"
        )
        if stored is None:
            return False
        if stored.session is None and entry.hour >= hour_bucket(now):
            return False  # entered before the session is stored, which may be happening now
        ended = False
        if stored.session is not None and not stored.session.over:
            reason = overdue(stored.session, now, self._idle_after)
            if reason is None:
                await self._reschedule(entry, next_look(stored.session, now, self._idle_after))
                return False
            stored = await self._end(stored.session, reason, now)
            if stored.session is None or not stored.session.over:
                return False
            ended = True
        if stored.session is None or await self._without_runs(stored.session):
            if stored.session is not None:
                await self._remove_entries(stored.session)
            else:  # it was never stored; one of its long texts may have been
                await self._conversations.erase_texts(entry.workspace, entry.name)
            await self._publish_all(entry.workspace, entry.name)
            for agent in {entry.note, stored.session.agent if stored.session else entry.note}:
                await self._directory.close_session(entry.workspace, agent, entry.name)
            await self._due.drop(entry.workspace, entry.name, entry.hour)
        return ended

    async def _reschedule(self, entry: Entry, due: datetime) -> None:
        if hour_bucket(due) != entry.hour:
            await self._publish_all(entry.workspace, entry.name)
            await self._due.add(entry.workspace, entry.name, due, entry.note)
            await self._due.drop(entry.workspace, entry.name, entry.hour)

    async def _end(self, session: Session, reason: str, now: datetime) -> StoredConversation:
        """End the session unless it is in use again."""
        if reason == IDLE_TIMEOUT and session.pending:
            # Runs whose message was never sent, or whose worker died for good: nothing else will finish them.
            await self._fail_runs(session)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.session is None or stored.session.over:
                return None
            why = overdue(stored.session, now, self._idle_after)
            if why is None or (why == IDLE_TIMEOUT and stored.session.pending):
                return None
            return session_ended(stored.session, why, now)

        return await self._conversations.update(session.workspace, session.id, None, decide)

    async def _without_runs(self, session: Session) -> bool:
        """Fail the runs of an ended session that no worker holds; return whether none is left."""
        if not session.pending or session.state is SessionState.ERASED:
            return True
        await self._fail_runs(session)
        after = (await self._conversations.load(session.workspace, session.id)).session
        return after is None or not after.pending

    async def _fail_runs(self, session: Session) -> None:
        unfinished = (RunState.WAITING, RunState.QUEUED, RunState.RUNNING)
        async for run in self._conversations.runs_in(session.workspace, session.id, *unfinished):
            stored = await self._conversations.update(session.workspace, session.id, run.id, self._fail_run)
            if stored.run is not None and stored.run.finished:
                await self._record(stored.run)

    def _fail_run(self, stored: StoredConversation) -> ConversationChange | None:
        now = self._clock()
        if stored.session is None or stored.run is None or stored.run.finished or runs.busy_until(stored.run, now):
            return None
        idle = Conflict("Its session was idle for too long.", code=SESSION_EXPIRED)
        error = too_late(stored.session) if stored.session.over else idle
        change = outcome(stored.session, stored.run, runs.lost(stored.run, error, now), (), (), now)
        # Expiring a run is no activity, or the session would never be idle.
        return replace(
            change, session=replace(change.session or stored.session, last_activity=stored.session.last_activity)
        )
