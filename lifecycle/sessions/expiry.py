"""Ending sessions, on request and when nothing happens in them any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from kernel.clock import Clock, hour_bucket
from kernel.errors import Conflict, NotFound
from lifecycle.registry.due import DueIndex, Entry
from lifecycle.runs import rules as runs
from lifecycle.runs.lease import outcome
from lifecycle.sessions.conversations import Change, Conversations, Event, Stored
from lifecycle.sessions.directory import Directory
from lifecycle.sessions.rules import Session, SessionState, ended, is_idle

IDLE_TIMEOUT = "idle_timeout"
BY_REQUEST = "ended_by_request"


class SessionEnd:
    """Ends sessions and cleans up after them."""

    def __init__(
        self,
        conversations: Conversations,
        directory: Directory,
        due: DueIndex,
        *,
        idle_after: timedelta,
        clock: Clock,
    ) -> None:
        self._conversations = conversations
        self._directory = directory
        self._due = due
        self._idle_after = idle_after
        self._clock = clock

    async def end(self, workspace: str, session_id: str) -> Session:
        """End the session on request; one that has ended stays as it is.

        Raises:
            NotFound: There is no such session.
            Conflict: A run of it is not finished.
        """

        def decide(stored: Stored) -> Change | None:
            if stored.session is None:
                msg = f"There is no session {session_id!r}."
                raise NotFound(msg, code="session_not_found")
            if stored.session.state is SessionState.ENDED:
                return None
            if stored.session.pending:
                msg = "A run of the session is not finished; cancel it or wait for it first."
                raise Conflict(msg, code="session_busy")
            return _end(stored.session, BY_REQUEST, self._clock())

        stored = await self._conversations.update(workspace, session_id, None, decide)
        if stored.session is None:
            raise NotFound(code="session_not_found")
        await self._directory.close_session(workspace, stored.session.agent, session_id)
        return stored.session

    async def expire_idle(self) -> int:
        """End every session that was idle for too long, and return how many. What it reads is what is due."""
        now = self._clock()
        count = 0
        async for entry in self._due.until(now):
            stored = await self._conversations.load(entry.workspace, entry.name)
            if stored.session is None and entry.hour >= hour_bucket(now):
                continue  # entered before the session is stored, which may be this very moment
            if stored.session is not None and stored.session.state is not SessionState.ENDED:
                if not is_idle(stored.session, now, self._idle_after):
                    await self._look_again(entry, stored.session.last_activity + self._idle_after)
                    continue
                if not await self._expire(stored, now):
                    continue
                count += 1
            await self._directory.close_session(entry.workspace, entry.note, entry.name)
            await self._due.drop(entry.workspace, entry.name, entry.hour)
        return count

    async def _look_again(self, entry: Entry, due: datetime) -> None:
        if hour_bucket(due) != entry.hour:
            await self._due.add(entry.workspace, entry.name, due, entry.note)
            await self._due.drop(entry.workspace, entry.name, entry.hour)

    async def _expire(self, stored: Stored, now: datetime) -> bool:
        """End the session; return False when it turned out to be in use."""
        session = stored.session
        if session is None:
            return False
        if session.pending:
            # Runs whose message never came, or came to a worker that died for good: nothing else will finish them.
            async for run in self._conversations.runs(session.workspace, session.id):
                if not run.finished:
                    await self._conversations.update(session.workspace, session.id, run.id, self._lose)
            stored = await self._conversations.load(session.workspace, session.id)

        def decide(stored: Stored) -> Change | None:
            if stored.session is None or stored.session.pending or not is_idle(stored.session, now, self._idle_after):
                return None
            return _end(stored.session, IDLE_TIMEOUT, now)

        after = await self._conversations.update(session.workspace, session.id, None, decide, known=stored)
        return after.session is not None and after.session.state is SessionState.ENDED

    def _lose(self, stored: Stored) -> Change | None:
        now = self._clock()
        if stored.session is None or stored.run is None or stored.run.finished or runs.busy_until(stored.run, now):
            return None
        lost = runs.lost(stored.run, Conflict("Its session was idle for too long.", code="session_expired"), now)
        change = outcome(stored.session, stored.run, lost, (), (), now)
        # An expiry is no activity, or the session would never be idle.
        return replace(
            change, session=replace(change.session or stored.session, last_activity=stored.session.last_activity)
        )


def _end(session: Session, reason: str, now: datetime) -> Change:
    after = ended(session, reason, now)
    return Change(after, events=[Event("session.state_changed", {"state": after.state.value, "reason": reason}, now)])
