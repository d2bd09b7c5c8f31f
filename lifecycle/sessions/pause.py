"""Pauses and resumes sessions: runs submitted meanwhile wait, and are queued in order on resumption."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from kernel.errors import AppError, Conflict, NotFound
from kernel.journal import Event
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.run import RunState
from lifecycle.conversations.run_request import Send, submission_of
from lifecycle.conversations.session import Session, SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.conversations.session_updates import state_event

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex

log = logging.getLogger(__name__)

BY_OPERATOR = "operator"
_OVERDUE = timedelta(minutes=2)
"""How long after its time a run's message may be missing before it is sent again."""
_ROUNDS = 50
"""How often a resumption looks for runs that were submitted while it queued others; the timer does the rest."""


class SessionPause:
    """Pauses and resumes sessions.

    A resumption is entered in the index `due` before it begins and removed after it has queued everything, so that an
    interrupted one is completed by the timer; a duplicate message finds a run that was claimed already.
    """

    def __init__(self, conversations: ConversationStore, due: DueIndex, clock: Clock) -> None:
        self._conversations = conversations
        self._due = due
        self._clock = clock

    async def pause(self, workspace: str, session_id: str, reason: str = BY_OPERATOR) -> Session:
        """Pause the session: the running run is finished, later ones wait. Pausing again is no error.

        Raises:
            NotFound: The session does not exist.
            Conflict: It has ended.
        """

        def decide(stored: StoredConversation) -> ConversationChange | None:
            session = _open_session(stored, session_id)
            if session.state is SessionState.PAUSED:
                return None
            after = sessions.paused(session, reason)
            return ConversationChange(after, events=[state_event(after, self._clock(), reason)])

        return _session(await self._conversations.update(workspace, session_id, None, decide), session_id)

    async def resume(self, workspace: str, session_id: str, send: Send) -> Session:
        """Resume a session that is paused or waits, and queue its waiting runs in the order of submission.

        Raises:
            NotFound: The session does not exist.
            Conflict: It has ended.
            Unavailable: The broker did not accept a message; a timer continues, or a repeated call.
        """
        session = _open_session(await self._conversations.load(workspace, session_id), session_id)
        if not session.on_hold:
            return session
        await self._due.add(workspace, session_id, self._clock(), session.agent)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            session = _open_session(stored, session_id)
            if session.state not in (SessionState.PAUSED, SessionState.WAITING):
                return None
            now = self._clock()
            after = sessions.resumed(session, now)
            return ConversationChange(after, events=[state_event(after, now)])

        await self._conversations.update(workspace, session_id, None, decide)
        await self.queue_kept(workspace, session_id, send)
        return _session(await self._conversations.load(workspace, session_id), session_id)

    async def finish(self, send: Send) -> int:
        """Complete interrupted resumptions, and return how many sessions were completed."""
        count = 0
        async for entry in self._due.until(self._clock()):
            try:
                if await self.queue_kept(entry.workspace, entry.name, send):
                    await self._due.drop(entry.workspace, entry.name, entry.hour)
            except AppError as error:
                log.warning("resumption not finished: %s", error.code, extra={"event": "session.resume_unfinished"})
                continue  # the next round tries again
            count += 1
        return count

    async def announce(self, workspace: str, session_id: str, agent: str) -> None:
        """Enter a session that is about to wait in the timer's index."""
        await self._due.add(workspace, session_id, self._clock(), agent)

    async def queue_kept(self, workspace: str, session_id: str, send: Send) -> bool:
        """Queue the session's waiting runs in order; return whether none is left."""
        for _ in range(_ROUNDS):
            stored = await self._conversations.load(workspace, session_id)
            session = stored.session
            if session is not None and session.retry is not None:
                await self._send_overdue(stored.session, send)
                return False
            if session is None or not session.resuming:
                return True
            found = self._conversations.runs_in(workspace, session_id, RunState.WAITING, RunState.QUEUED)
            kept = [run async for run in found if run.resumption < session.resumes]
            for run in sorted(kept, key=lambda run: run.number):
                await send(submission_of(runs.resumed(run, session.resumes)))
                decide = partial(_called, resumed=session, clock=self._clock)
                await self._conversations.update(workspace, session_id, run.id, decide)
            after = await self._conversations.update(
                workspace, session_id, None, partial(_mark_complete, resumed=session)
            )
            if after.session is None or not after.session.resuming:
                return True
        return False

    async def _send_overdue(self, session: Session | None, send: Send) -> None:
        """Send the message of the run whose retry the session waits for, if that is overdue."""
        retry = session.retry if session else None
        if session is None or retry is None or retry.at + _OVERDUE > self._clock():
            return
        run = await self._conversations.run(session.workspace, session.id, retry.run_id)
        if run is not None and run.state is RunState.QUEUED:
            await send(submission_of(run))


def _called(stored: StoredConversation, resumed: Session, clock: Clock) -> ConversationChange | None:
    """Note that the run was queued by the resumption, unless that is known or the session is on hold again."""
    session, run = stored.session, stored.run
    if session is None or run is None or not session.resuming or session.resumes != resumed.resumes:
        return None
    if run.finished or run.resumption >= resumed.resumes:
        return None
    queued = runs.resumed(run, resumed.resumes)
    if run.state is not RunState.WAITING:
        return ConversationChange(run=queued)
    return ConversationChange(session, queued, events=[Event("run.queued", {"run_id": run.id}, clock())])


def _mark_complete(stored: StoredConversation, resumed: Session) -> ConversationChange | None:
    """Return the change that ends the resumption; None if a run was submitted meanwhile."""
    session = stored.session
    if session is None or not session.resuming or (session.resumes, session.runs) != (resumed.resumes, resumed.runs):
        return None
    return ConversationChange(sessions.settled(session))


def _open_session(stored: StoredConversation, session_id: str) -> Session:
    session = _session(stored, session_id)
    if session.over:
        msg = f"Session {session_id!r} has ended ({session.end_reason}); start a new one."
        raise Conflict(msg, code="session_ended")
    return session


def _session(stored: StoredConversation, session_id: str) -> Session:
    if stored.session is None or stored.session.state is SessionState.ERASED:
        raise NotFound(f"There is no session {session_id!r}.", code="session_not_found")
    return stored.session
