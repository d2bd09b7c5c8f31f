"""Composition of workflows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.configuration import ConfigurationServices
    from bootstrap.parts.conversations import ConversationServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.runs import RunServices
    from bootstrap.parts.sessions import SessionServices
    from lifecycle.conversations.run_request import Send
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.workflows.definitions import Workflows
    from lifecycle.workflows.engine import WorkflowEngine
    from lifecycle.workflows.store import WorkflowRuns


@dataclass(eq=False)
class WorkflowServices:
    """Builds workflows and the engine that carries out their runs."""

    _core: Core
    _events: EventServices
    _configuration: ConfigurationServices
    _conversations: ConversationServices
    _agents: AgentServices
    _runs: RunServices
    _sessions: SessionServices

    @cached_property
    def definitions(self) -> Workflows:
        """Stores declared workflows."""
        from lifecycle.workflows.definitions import Workflows

        return Workflows(self._configuration.items, self._agents.catalog)

    @cached_property
    def store(self) -> WorkflowRuns:
        """Stores workflow runs."""
        from lifecycle.workflows.store import WorkflowRuns

        return WorkflowRuns(self._core.tables, self._core.texts)

    @cached_property
    def engine(self) -> WorkflowEngine:
        """Carries out workflow runs."""
        from lifecycle.workflows.checkpoints import Checkpoints
        from lifecycle.workflows.engine import WorkflowEngine
        from lifecycle.workflows.group_chat import GroupChats
        from lifecycle.workflows.step_runs import StepRuns

        return WorkflowEngine(
            self.definitions,
            self.store,
            StepRuns(
                self._runs.submission,
                self._runs.cancel,
                self._conversations.store,
                GroupChats(Checkpoints(self._core.tables, self._core.texts), self._agents.catalog),
                may_erase=self._sessions.retention.check,
            ),
            self._core.due("workflow"),
            self._events.journal,
            self._core.clock,
        )

    async def deliver(self, signals: AgentSignals, send: Send) -> None:
        """Continue the workflow runs whose steps ended in this process; without any, nothing is imported."""
        if "engine" in self.__dict__:
            await self.engine.deliver(signals, send)
