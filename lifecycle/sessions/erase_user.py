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
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.clock import Clock, hour_bucket, rfc3339
from kernel.errors import AppError, NotFound
from kernel.journal import Event, Journal
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.sessions.erase import OnHold, SessionErasure

if TYPE_CHECKING:
    from kernel.due_index import DueIndex
    from lifecycle.configuration.user_preferences import UserPreferenceStore
    from lifecycle.conversations.run_and_session_indexes import Directory, RunEntry

log = logging.getLogger(__name__)

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


@dataclass(slots=True)
class _Progress:
    """How far an erasure is.

    Attributes:
        receipt: What it has erased.
        until: When it stops, as the event loop's time; None for not before it is done.
        whole: Whether nothing of the sessions erased is left to a timer.
        held: Sessions kept by a legal hold.
        failures: What could not be erased, and is raised when everything else is.
    """

    receipt: UserReceipt
    until: float | None
    whole: bool = True
    held: set[str] = field(default_factory=set[str])
    failures: list[AppError] = field(default_factory=list[AppError])

    @property
    def out_of_time(self) -> bool:
        """Whether it has to stop."""
        return self.until is not None and _now_s() >= self.until

    def count(self, sessions: int = 0, runs: int = 0) -> None:
        """Add to what is erased."""
        receipt = self.receipt
        self.receipt = replace(receipt, sessions=receipt.sessions + sessions, runs=receipt.runs + runs)

    @contextlib.contextmanager
    def passing_over(self, session_id: str) -> Generator[None]:
        """Note that a session is held, or that something of it cannot be erased, and go on."""
        try:
            yield
        except OnHold:
            self.held.add(session_id)
            self.receipt = replace(self.receipt, held=len(self.held))
        except AppError as error:
            self.failures.append(error)


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
            Unavailable: A provider or the storage cannot be reached; a timer continues, or a repeated call. Whatever
                does not need it is erased.
            Unreadable: A session cannot be read; the same.
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
        work = _Progress(UserReceipt(requested), None if patience_s is None else _now_s() + patience_s)
        planned = 0
        with contextlib.suppress(NotFound):
            await self._users.delete(workspace, user_id)
        async for count in self._forget_planned(workspace, user_id):
            planned += count
            if work.out_of_time:
                return work.receipt
        async for session_id in self._sessions_of(workspace, user_id):
            if work.out_of_time:
                return work.receipt
            with work.passing_over(session_id):
                await self._erase_session(workspace, user_id, session_id, work)
        async for entry in self._runs_of(workspace, user_id):
            if work.out_of_time:
                return work.receipt
            if entry.session_id not in work.held:
                with work.passing_over(entry.session_id):
                    work.count(runs=await self._erase_name(workspace, user_id, entry))
        if work.failures:
            raise work.failures[0]
        receipt = work.receipt
        if work.held or not work.whole:  # the index entry stays, so that the rest is erased later
            return receipt
        data = {"sessions": receipt.sessions, "runs": receipt.runs}
        key = f"user:{_user_key(user_id)}:{rfc3339(requested)}"
        await self._journal.record(workspace, key, Event("user.erased", data, requested))
        if planned:
            return receipt
        await self._due.drop(workspace, _user_key(user_id), hour_bucket(requested))
        return replace(receipt, completed_at=self._clock())

    async def _erase_session(self, workspace: str, user_id: str, session_id: str, work: _Progress) -> None:
        """Erase the session if it is the user's, or is being erased and says no more whose it was."""
        session = await self._sessions.known(workspace, session_id)
        unfinished = session is not None and session.receipt is not None and not session.receipt.completed_at
        if session is not None and (session.user_id == user_id or unfinished):
            done = await self._sessions.erase(workspace, session_id)
            work.whole = work.whole and done.completed_at is not None
            work.count(sessions=1)

    async def _sessions_of(self, workspace: str, user_id: str) -> AsyncIterator[str]:
        after: str | None = None
        while True:
            entries, after = await self._directory.sessions(
                workspace, agent=None, user_id=user_id, limit=_PAGE, after=after
            )
            for entry in entries:
                yield entry.session_id
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


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _user_key(user_id: str) -> str:
    """Return a key for the user's id, which may have characters that keys cannot."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:32]
