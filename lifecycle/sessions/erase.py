"""Erases sessions: messages, users and the provider's conversations; amounts stay in the ledger.

The session's row becomes a tombstone first, so that no run, message or worker adds anything, and the rest is removed
after that. Every step is idempotent, and the index `due` has an entry until the last is done: an interrupted call is
completed by the next call or by the timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.codec import Unreadable
from kernel.due_index import outlasted
from kernel.errors import AppError, Conflict, NotFound, Unavailable
from kernel.journal import Event, Journal
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import Receipt, Session, SessionState
from lifecycle.conversations.session_rules import erased, erasing
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.events.publisher import source_of

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex, Entry
    from lifecycle.conversations.run_and_session_indexes import Directory
    from lifecycle.conversations.unreadable_sessions import Remains
    from lifecycle.registry.providers import Providers
    from lifecycle.sessions.end import Record
    from llmops.budgets.call_budget import BudgetService
    from llmops.evaluation.combined_score import Score
    from llmops.facts.fact_erasure import RunRedaction

log = logging.getLogger(__name__)

MayErase = Callable[[Session], Awaitable[None]]
"""Raises OnHold if the session must not be erased."""
EraseElsewhere = Callable[[Run], Awaitable[object]]
"""Erases a run's data elsewhere: approvals, people's requests, and its workflow run's input; decisions stay."""

_PATIENCE_S = 5.0
_LOOK_EVERY_S = 0.1


class OnHold(Conflict):
    """A legal hold keeps this from being erased."""

    code = "legal_hold"


class SessionErasure:
    """Erases sessions."""

    def __init__(
        self,
        conversations: ConversationStore,
        directory: Directory,
        remains: Remains,
        due: DueIndex,
        *,
        providers: Providers,
        forgetting: RunRedaction,
        budget_service: BudgetService,
        may_erase: MayErase,
        erase_elsewhere: EraseElsewhere,
        journal: Journal,
        record: Record,
        clock: Clock,
    ) -> None:
        self._conversations = conversations
        self._directory = directory
        self._remains = remains
        self._due = due
        self._providers = providers
        self._forgetting = forgetting
        self._budget_service = budget_service
        self._may_erase = may_erase
        self._forget_rest = erase_elsewhere
        self._journal = journal
        self._record = record
        self._clock = clock

    async def erase(self, workspace: str, session_id: str) -> Receipt:
        """Erase the session and return the receipt; its `completed_at` is None while a worker is being stopped.

        Unfinished runs are cancelled. Erasing again completes the erasure, or returns the same receipt.

        Raises:
            NotFound: The session does not exist.
            OnHold: A legal hold keeps it.
            Unavailable: A provider or the storage cannot be reached; the timer goes on from there, or the same call.
            Unreadable: Its row cannot be read, and no other says whose it is.
        """
        found, readable = await self._found(workspace, session_id)
        if found is not None and found.state is not SessionState.ERASED:
            await self._may_erase(found)
        await self._due.add(workspace, session_id, self._clock())
        if found is not None and not readable:
            await self._remains.condemn(found, self._clock())
        stored = await self._conversations.update(workspace, session_id, None, self._condemn)
        session = stored.session
        if session is None:
            raise NotFound(f"There is no session {session_id!r}.", code="session_not_found")
        await self._stop_runs(session)
        return await self._finish(session)

    async def known(self, workspace: str, session_id: str) -> Session | None:
        """Return the session; of one whose own row cannot be read, what other rows say of it.

        Raises:
            Unreadable: Its row cannot be read, and no other says whose it is.
        """
        session, _ = await self._found(workspace, session_id)
        return session

    async def check(self, session: Session) -> None:
        """Check that the session may be erased.

        Raises:
            OnHold: A legal hold keeps it.
        """
        await self._may_erase(session)

    async def finish(self) -> int:
        """Complete interrupted erasures, and return how many were completed."""
        count = 0
        async for entry in self._due.until(self._clock()):
            try:
                count += await self._finish_entered(entry)
            except AppError as error:
                log.warning("erasure not finished: %s", error.code, extra={"event": "session.erase_unfinished"})
        return count

    async def _finish_entered(self, entry: Entry) -> bool:
        try:
            session = (await self._conversations.load(entry.workspace, entry.name)).session
        except Unreadable:
            session = None  # the call died before it had condemned it
        condemned = session is not None and session.state is SessionState.ERASED
        if not condemned and not outlasted(entry, self._clock()):
            return False  # entered before the session is condemned, which may be happening now
        if session is not None and condemned and (await self._finish(session)).completed_at is None:
            return False
        await self._due.drop(entry.workspace, entry.name, entry.hour)
        return condemned

    async def _found(self, workspace: str, session_id: str) -> tuple[Session | None, bool]:
        """Return the session, and whether its row can be read."""
        try:
            return (await self._conversations.load(workspace, session_id)).session, True
        except Unreadable:
            return await self._remains.session(workspace, session_id), False

    def _condemn(self, stored: StoredConversation) -> ConversationChange | None:
        if stored.session is None or stored.session.state is SessionState.ERASED:
            return None
        return ConversationChange(erasing(stored.session, self._clock()))

    async def _stop_runs(self, session: Session) -> None:
        """Have workers stop the session's runs, and wait briefly for them."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_S
        while (busy := await self._busy(session)) and loop.time() < deadline:
            for run in busy:
                if not run.cancel_requested:
                    await self._conversations.update(session.workspace, session.id, run.id, _cancel)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _busy(self, session: Session) -> Sequence[Run]:
        now = self._clock()
        found = self._conversations.runs_in(session.workspace, session.id, RunState.RUNNING)
        return [run async for run in found if runs.busy_until(run, now)]

    async def _finish(self, session: Session) -> Receipt:
        """Remove what is left of a session that is being erased, unless a worker still runs a run of it."""
        receipt = session.receipt
        if receipt is None:
            msg = "an erased session has a receipt"
            raise RuntimeError(msg)
        if receipt.completed_at is not None or await self._busy(session):
            return receipt
        found = [run async for run in self._conversations.runs(session.workspace, session.id, texts=False)]
        found = [await self._ended_if_lost(run) for run in found]
        if len(found) < session.runs:
            await self._forget_unreadable(session)
        if found or session.kept:
            receipt = await self._erase_elsewhere(session, found, receipt)
            # Counted before the runs are deleted, or a repetition would count only what is left.
            stored = await self._note(session, replace(session, receipt=receipt))
            session = stored.session or session
        await self._conversations.clear(session.workspace, session.id)
        if session.long_texts:
            await self._conversations.erase_texts(session.workspace, session.id)
        await self._directory.leave(session)
        receipt = replace(receipt, completed_at=self._clock())
        was = "ended" if session.end_reason else "open"
        data = {"session_id": session.id, "agent": session.agent, "state": was}
        event = Event("session.erased", data, receipt.requested_at)
        await self._journal.record(session.workspace, f"{source_of(session.id)}erasure", event)
        await self._note(session, erased(session, receipt))
        return receipt

    async def _ended_if_lost(self, run: Run) -> Run:
        """Return the run after recording its attempts; if its worker died, ended."""

        def decide(stored: StoredConversation) -> ConversationChange | None:
            if stored.run is None or stored.run.finished or runs.busy_until(stored.run, self._clock()):
                return None
            return ConversationChange(run=runs.cancelled(stored.run, self._clock()))

        stored = await self._conversations.update(run.workspace, run.session_id, run.id, decide)
        run = stored.run or run
        # A fact that its worker has not written yet is written now without the user; the worker then finds it.
        nameless = replace(run.input, user_id=None)
        await self._record(replace(run, input=nameless, result=replace(run.result, score=_plain(run.score))))
        return run

    async def _erase_elsewhere(self, session: Session, found: Sequence[Run], receipt: Receipt) -> Receipt:
        await self.forget_conversations(session)
        counts = [await self.forget_asker(run) for run in found]
        for run in found:
            await self._directory.forget_run(session.workspace, run.id)
        return replace(receipt, conversations=len(session.kept), ledger_lines=sum(counts))

    async def _forget_unreadable(self, session: Session) -> None:
        """Take out what stays of runs that cannot be read, as far as their rows say what there is."""
        workspace = session.workspace
        for run in await self._remains.unreadable_runs(workspace, session.id):
            if run.agent is not None and run.created_at is not None:
                await self._forgetting.redact(workspace, run.agent, run.id, run.created_at, self._clock())
            await self._directory.forget_run(workspace, run.id)

    async def forget_conversations(self, session: Session) -> None:
        """Delete the session's conversations at providers.

        Raises:
            Unavailable: A provider cannot be reached, or is not configured.
        """
        for kept in session.kept:
            provider = self._providers.get(kept.provider)
            if provider is None:
                msg = f"The provider {kept.provider!r}, which keeps a conversation of the session, is not configured."
                raise Unavailable(msg, code="provider_not_configured")
            await provider.forget_conversation(kept.id)

    async def forget_asker(self, run: Run) -> int:
        """Erase the user and the reasons of scores from the run's facts; return the number of model calls.

        What a running judge adds later is erased by `lifecycle.evaluation.judging_round`.
        """
        workspace = run.workspace
        await self._forget_rest(run)
        # Reservations of dead workers become facts some day: settle them now, before the user is erased.
        await self._budget_service.free(workspace, run.id, run.attempt + 1)
        last = run.finished_at or self._clock()
        counts = [
            await self._forgetting.redact(workspace, agent, run.id, run.created_at, last)
            for agent in runs.agents_of(run)
        ]
        return sum(counts)

    async def _note(self, session: Session, after: Session) -> StoredConversation:
        return await self._conversations.update(
            session.workspace, session.id, None, lambda _: ConversationChange(after)
        )


def _plain(score: Score | None) -> Score | None:
    return score and replace(score, reasons={}, pending=())


def _cancel(stored: StoredConversation) -> ConversationChange | None:
    if stored.run is None or stored.run.finished or stored.run.cancel_requested:
        return None
    return ConversationChange(run=replace(stored.run, cancel_requested=True))
