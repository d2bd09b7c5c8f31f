"""Erases a user: the user's sessions and preferences, and the user's id wherever it is stored.

What would submit new runs in the user's name is erased first: schedules and lines of batches. A worker may be
submitting one of them at this moment, so an erasure that found any keeps its entry in the index, and is repeated by the
timer.

The index `due` has an entry until the last session is erased, so that a timer completes an interrupted erasure.
Sessions of no user keep their texts, but the user's runs in them lose the user's id. Sessions with a legal hold stay
unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from kernel.clock import Clock, hour_bucket, rfc3339
from kernel.errors import AppError, NotFound
from kernel.journal import Event, Journal
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session import Receipt, SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.sessions.erase import OnHold, SessionErasure

if TYPE_CHECKING:
    from kernel.due_index import DueIndex
    from lifecycle.configuration.user_preferences import UserPreferenceStore
    from lifecycle.conversations.run_and_session_indexes import Directory, RunEntry

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 20.0
_PAGE = 50


@dataclass(frozen=True, slots=True)
class UserReceipt:
    """What a call erased of a user.

    Attributes:
        requested_at: When it was requested, aware UTC.
        completed_at: When it was completed, aware UTC; None while it continues in the background.
        sessions: Sessions erased, with their runs and messages.
        runs: Runs in other sessions whose user id was erased.
        held: Sessions kept by a legal hold; once it is released, they are erased, or lose the user's id.
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
        """Set the collaborators.

        `may_erase` raises OnHold for a user who must not be erased. `forget_planned` removes what would be submitted in
        the user's name, and yields how much, step by step.
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
        """Erase the user as far as possible within `patience_s` seconds, and leave the rest to the timer.

        Erasing an unknown user, or erasing twice, is no error.

        Raises:
            OnHold: A legal hold on the user or the workspace keeps everything.
            Unavailable: A provider or the storage cannot be reached; a timer continues, or a repeated call.
        """
        await self._may_erase(workspace, user_id)
        now = self._clock()
        await self._due.add(workspace, _user_key(user_id), now, json.dumps([user_id, rfc3339(now)]))
        return await self._erase_until(workspace, user_id, now, patience_s)

    async def finish(self) -> int:
        """Complete interrupted erasures, and return how many were completed."""
        count = 0
        async for entry in self._due.until(self._clock()):
            user_id, requested = json.loads(entry.note)
            try:
                receipt = await self._erase_until(entry.workspace, user_id, datetime.fromisoformat(requested), None)
            except AppError as error:
                log.warning("user not erased: %s", error.code, extra={"event": "user.erase_unfinished"})
                continue
            count += receipt.completed_at is not None
        return count

    async def _erase_until(
        self, workspace: str, user_id: str, requested: datetime, patience_s: float | None
    ) -> UserReceipt:
        loop = asyncio.get_running_loop()
        until = None if patience_s is None else loop.time() + patience_s
        receipt, whole, planned = UserReceipt(requested), True, 0
        held = set[str]()
        failures: list[AppError] = []
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
                done = await _unless_failed(self._sessions.erase(workspace, session_id), Receipt(requested), failures)
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
                runs = await _unless_failed(self._erase_name(workspace, user_id, entry), 0, failures)
                receipt = replace(receipt, runs=receipt.runs + runs)
            except OnHold:
                held.add(entry.session_id)
                receipt = replace(receipt, held=len(held))
        if failures:
            raise failures[0]  # the index entry stays
        if held or not whole:  # the index entry stays, so that the rest is erased later
            return receipt
        data = {"sessions": receipt.sessions, "runs": receipt.runs}
        key = f"user:{_user_key(user_id)}:{rfc3339(requested)}"
        await self._journal.record(workspace, key, Event("user.erased", data, requested))
        if planned:
            return receipt
        await self._due.drop(workspace, _user_key(user_id), hour_bucket(requested))
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

    async def _erase_name(self, workspace: str, user_id: str, entry: RunEntry) -> int:
        """Erase the user's id from a run in a session that is not the user's; return the number of runs changed.

        Raises:
            OnHold: A legal hold keeps the session.
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


async def _unless_failed(erasing: Awaitable[T], otherwise: T, failures: list[AppError]) -> T:
    """Return what is erased; of a failure, which is added to those before, what to go on with: all else is erased.

    Raises:
        OnHold: A legal hold keeps it.
    """
    try:
        return await erasing
    except OnHold:
        raise
    except AppError as error:
        log.warning("not erased: %s", error.code, extra={"event": "user.erase_unfinished"})
        failures.append(error)
        return otherwise


def _user_key(user_id: str) -> str:
    """Return a key for the user's id, which may have characters that keys cannot."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:32]
