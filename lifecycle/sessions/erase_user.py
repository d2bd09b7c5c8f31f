"""Erasing a user: the user's sessions, how the user likes to be answered, and the user's id wherever it was noted.

What would go on asking in the user's name comes first: schedules and lines of batches. A worker may just be submitting
one of them, so that an erasure that found any stays in the index, and is gone through once more by the timer.

The index `due` has an entry until the last session is erased, so that what a call does not come to, or a process that
died, is finished by the timer. Sessions that are nobody's keep their texts; the runs that the user asked for in them
no longer say so. Of a session that a legal hold keeps, nothing changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from kernel.clock import Clock, hour_bucket, rfc3339
from kernel.due_index import DueIndex
from kernel.errors import AppError, NotFound
from kernel.journal import Event, Journal
from lifecycle.configuration.user_preferences import UserPreferenceStore
from lifecycle.conversations.directory import Directory, RunEntry
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.sessions.erase import OnHold, SessionErasure

log = logging.getLogger(__name__)

PATIENCE_S = 20.0
_PAGE = 50


@dataclass(frozen=True, slots=True)
class UserReceipt:
    """What a call erased of a user.

    Attributes:
        requested_at: When.
        completed_at: When nothing was left; None while it goes on in the background.
        sessions: Sessions erased, with their runs and messages.
        runs: Runs in other sessions that no longer name the user.
        held: Sessions that a legal hold keeps; once it is released, they are erased, or no longer name the user.
    """

    requested_at: datetime
    completed_at: datetime | None = None
    sessions: int = 0
    runs: int = 0
    held: int = 0


class UserErasure:
    """Erases users."""

    def __init__(
        self,
        sessions: SessionErasure,
        conversations: ConversationStore,
        directory: Directory,
        users: UserPreferenceStore,
        due: DueIndex,
        *,
        may_erase: Callable[[str, str], Awaitable[None]],
        forget_planned: Callable[[str, str], AsyncIterator[int]],
        journal: Journal,
        clock: Clock,
    ) -> None:
        """Take what erases sessions, and what is done of a workspace's user elsewhere.

        `may_erase` raises OnHold for a user who is not to be erased. `forget_planned` removes what is yet to be asked
        in the user's name, and yields how much that was, piece by piece.
        """
        self._sessions = sessions
        self._conversations = conversations
        self._directory = directory
        self._users = users
        self._due = due
        self._may_erase = may_erase
        self._forget_planned = forget_planned
        self._journal = journal
        self._clock = clock

    async def erase(self, workspace: str, user_id: str, patience_s: float = PATIENCE_S) -> UserReceipt:
        """Erase the user as far as that goes within the time, and leave the rest to the timer.

        Erasing a user that nothing is known of, or erasing twice, is no error.

        Raises:
            OnHold: A legal hold on the user or the workspace keeps everything.
            Unavailable: A provider or the storage cannot be reached; the timer goes on from there, or the same call.
        """
        await self._may_erase(workspace, user_id)
        now = self._clock()
        await self._due.add(workspace, _name(user_id), now, json.dumps([user_id, rfc3339(now)]))
        return await self._work(workspace, user_id, now, patience_s)

    async def finish(self) -> int:
        """Finish the erasures that were cut short, and return how many were completed."""
        count = 0
        async for entry in self._due.until(self._clock()):
            user_id, requested = json.loads(entry.note)
            try:
                receipt = await self._work(entry.workspace, user_id, datetime.fromisoformat(requested), None)
            except AppError as error:
                log.warning("user not erased: %s", error.code, extra={"event": "user.erase_unfinished"})
                continue
            count += receipt.completed_at is not None
        return count

    async def _work(self, workspace: str, user_id: str, requested: datetime, patience_s: float | None) -> UserReceipt:
        loop = asyncio.get_running_loop()
        until = None if patience_s is None else loop.time() + patience_s
        receipt, whole, planned = UserReceipt(requested), True, 0
        held = set[str]()
        with contextlib.suppress(NotFound):
            await self._users.delete(workspace, user_id)
        async for count in self._forget_planned(workspace, user_id):
            planned += count
            if until is not None and loop.time() >= until:
                return receipt
        async for session_id in self._sessions_of(workspace, user_id):
            if until is not None and loop.time() >= until:
                return receipt
            try:
                done = await self._sessions.erase(workspace, session_id)
            except OnHold:
                held.add(session_id)
                receipt = replace(receipt, held=len(held))
                continue
            whole = whole and done.completed_at is not None
            receipt = replace(receipt, sessions=receipt.sessions + 1)
        async for entry in self._runs_of(workspace, user_id):
            if until is not None and loop.time() >= until:
                return receipt
            if entry.session_id in held:
                continue
            try:
                receipt = replace(receipt, runs=receipt.runs + await self._unnamed(workspace, user_id, entry))
            except OnHold:
                held.add(entry.session_id)
                receipt = replace(receipt, held=len(held))
        if held or not whole:  # the entry in the index stays, so that the rest is erased once it may be
            return receipt
        data = {"sessions": receipt.sessions, "runs": receipt.runs}
        key = f"user:{_name(user_id)}:{rfc3339(requested)}"
        await self._journal.record(workspace, key, Event("user.erased", data, requested))
        if planned:
            return receipt
        await self._due.drop(workspace, _name(user_id), hour_bucket(requested))
        return replace(receipt, completed_at=self._clock())

    async def _sessions_of(self, workspace: str, user_id: str) -> AsyncIterator[str]:
        after: str | None = None
        while True:
            entries, after = await self._directory.sessions(
                workspace, agent=None, user_id=user_id, limit=_PAGE, after=after
            )
            for entry in entries:
                session = await self._sessions.known(workspace, entry.session_id)
                unfinished = session is not None and session.receipt is not None and not session.receipt.completed_at
                if session is not None and (session.user_id == user_id or unfinished):
                    yield session.id
            if after is None:
                return

    async def _runs_of(self, workspace: str, user_id: str) -> AsyncIterator[RunEntry]:
        after: str | None = None
        while True:
            entries, after = await self._directory.runs(
                workspace, agent=None, user_id=user_id, limit=_PAGE, after=after
            )
            for entry in entries:
                yield entry
            if after is None:
                return

    async def _unnamed(self, workspace: str, user_id: str, entry: RunEntry) -> int:
        """Take the user out of a run in a session that is not the user's; return how many runs that were.

        Raises:
            OnHold: A legal hold keeps the session, and whoever asked in it.
        """
        stored = await self._conversations.load(workspace, entry.session_id, entry.run_id)
        erased = stored.session is not None and stored.session.state is SessionState.ERASED
        if stored.run is None or erased:
            return 0
        if stored.session is not None:
            await self._sessions.check(stored.session)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.run is None or stored.run.user_id != user_id:
                return None
            return ConversationChange(run=replace(stored.run, input=replace(stored.run.input, user_id=None)))

        await self._conversations.update(workspace, entry.session_id, entry.run_id, decide)
        await self._sessions.forget_asker(stored.run)
        await self._directory.forget_user(workspace, entry.run_id)
        return 1


def _name(user_id: str) -> str:
    """Return what stands for the user in keys: ids can hold characters that keys cannot."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:32]
