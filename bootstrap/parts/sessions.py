"""Composition of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.approvals import ApprovalServices
    from bootstrap.parts.budgets import BudgetServices
    from bootstrap.parts.capacity import CapacityServices
    from bootstrap.parts.configuration import ConfigurationServices
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.spend import SpendServices
    from bootstrap.parts.teams import TeamServices
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.session import Session
    from lifecycle.retention.retention_round import RetentionRounds
    from lifecycle.retention.store import RetentionStore
    from lifecycle.sessions.end import SessionEnd
    from lifecycle.sessions.erase import SessionErasure
    from lifecycle.sessions.erase_user import UserErasure
    from lifecycle.sessions.list import SessionList
    from lifecycle.sessions.start import SessionStart


@dataclass(eq=False)
class SessionServices:
    """Builds the use cases of sessions: start, list, end, erasure, retention."""

    _core: Core
    _events: EventServices
    _spend: SpendServices
    _configuration: ConfigurationServices
    _conversations: ConversationServices
    _budgets: BudgetServices
    _approvals: ApprovalServices
    _agents: AgentServices
    _teams: TeamServices
    _erase_workflow_run: Callable[[str, str], Awaitable[None]]
    _forget_planned: Callable[[str, str], AsyncIterator[int]]
    _capacity: CapacityServices

    @cached_property
    def end(self) -> SessionEnd:
        """Ends sessions."""
        from lifecycle.sessions.end import SessionEnd

        return SessionEnd(
            self._conversations.store,
            self._conversations.directory,
            self._teams.release,
            self._core.due("session"),
            publish_all=self._conversations.publisher.publish_all_of,
            record=self._conversations.recorder.record,
            idle_after=self._core.session_idle_after,
            clock=self._core.clock,
        )

    @cached_property
    def list(self) -> SessionList:
        """Lists sessions."""
        from lifecycle.sessions.list import SessionList

        return SessionList(self._conversations.store, self._conversations.directory)

    @cached_property
    def start(self) -> SessionStart:
        """Starts sessions."""
        from lifecycle.sessions.start import SessionStart

        return SessionStart(
            self._agents.catalog,
            self._conversations.store,
            self._conversations.directory,
            self._conversations.pins,
            self._core.due("session"),
            self._configuration.users,
            idle_after=self._core.session_idle_after,
            clock=self._core.clock,
            admit=self._admit,
        )

    async def _admit(self, session: Session) -> None:
        if await self._capacity.pools.of(session.workspace):
            from llmops.capacity.admission import AdmissionRequest

            agent = await self._agents.catalog.get(session.workspace, session.agent)
            claim = AdmissionRequest(session.workspace, session.agent, agent.declaration.spec.labels)
            await self._capacity.admission.enter_session(claim, session.id)

    @cached_property
    def erasure(self) -> SessionErasure:
        """Erases sessions."""
        from lifecycle.sessions.erase import SessionErasure

        return SessionErasure(
            self._conversations.store,
            self._conversations.directory,
            self._conversations.remains,
            self._core.due("erasure"),
            providers=self._agents.providers,
            forgetting=self._spend.redaction,
            budget_service=self._budgets.service,
            may_erase=self.retention.check,
            erase_elsewhere=self._erase_elsewhere,
            journal=self._events.journal,
            record=self._conversations.recorder.record,
            clock=self._core.clock,
        )

    async def _erase_elsewhere(self, run: Run) -> None:
        await self._budgets.waits.forget(run.workspace, run.id)
        await self._approvals.store.erase(run.workspace, run.id)
        if run.workflow_run_id is not None:
            await self._erase_workflow_run(run.workspace, run.workflow_run_id)

    @cached_property
    def user_erasure(self) -> UserErasure:
        """Erases users."""
        from lifecycle.sessions.erase_user import UserErasure

        return UserErasure(
            self.erasure,
            self._conversations.store,
            self._conversations.directory,
            self._configuration.users,
            self._core.due("usererasure"),
            may_erase=self.retention.check_user,
            forget_planned=self._forget_planned,
            journal=self._events.journal,
            clock=self._core.clock,
        )

    @cached_property
    def retention(self) -> RetentionStore:
        """Stores retention policies, legal holds and receipts."""
        from lifecycle.retention.store import RetentionStore

        return RetentionStore(self._core.tables, self._events.journal, self._core.clock)

    @cached_property
    def retention_rounds(self) -> RetentionRounds:
        """Deletes data whose retention time is over."""
        from lifecycle.retention.fact_deletion import FactDays
        from lifecycle.retention.retention_round import RetentionRounds
        from lifecycle.retention.session_parts import SessionParts
        from llmops.facts.fact_store import FactDeletion

        store, directory = self._conversations.store, self._conversations.directory
        facts = FactDeletion(self._core.tables)
        return RetentionRounds(
            self.retention,
            store,
            directory,
            self.erasure,
            SessionParts(self.retention, store, directory, self.erasure.forget_conversations),
            FactDays(self.retention, facts, self._spend.daily_costs.days, self._core.clock),
            self._core.clock,
        )
