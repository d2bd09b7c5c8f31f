"""The parts of alerts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.budgets import BudgetParts
from bootstrap.parts.performance import PerformanceParts
from bootstrap.parts.registry import RegistryParts

if TYPE_CHECKING:
    from lifecycle.measures.activity import Activity
    from lifecycle.measures.state import WorkspaceState
    from llmops.alerts.evaluation import Evaluator
    from llmops.alerts.readings import Sources
    from llmops.alerts.references import References
    from llmops.alerts.store import AlertStore


class AlertParts(RegistryParts, BudgetParts, PerformanceParts):
    """Makes alerts."""

    @cached_property
    def alerts(self) -> AlertStore:
        """Alert rules and what they did."""
        from llmops.alerts.defaults import default_rules
        from llmops.alerts.store import AlertStore

        settings = self.settings
        defaults = default_rules(latency_ms=settings.sla_latency_ms, enabled=settings.alert_defaults)
        return AlertStore(self.tables, self.clock, defaults)

    @cached_property
    def alert_references(self) -> References:
        """Whether what alert rules name is there."""
        from llmops.alerts.references import References

        return References(self.channels, self._agent_exists)

    @cached_property
    def activity(self) -> Activity:
        """What goes on in a workspace."""
        from lifecycle.measures.activity import Activity

        return Activity(self.daily_counts, self.metrics, self.waits)

    @cached_property
    def workspace_state(self) -> WorkspaceState:
        """How a workspace is at the moment."""
        from lifecycle.drift.store import PlanStore
        from lifecycle.measures.alarms import RegistryAlarms
        from lifecycle.measures.state import WorkspaceState

        registry = RegistryAlarms(self.lifecycle_counts, PlanStore(self.tables), self.approvals, self.hit_rates)
        return WorkspaceState(self.activity, registry, self.lifecycle_counts, self.positions, self.timer_statuses)

    @cached_property
    def alert_sources(self) -> Sources:
        """What alert rules look at."""
        from llmops.alerts.readings import Sources

        return Sources(self.figures, self.daily_costs, self.workspace_state.sources, self._workspaces)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluates alert rules."""
        from llmops.alerts.evaluation import Evaluator

        return Evaluator(self.alerts, self.alert_sources, self.outbox, self.journal, self.clock)

    async def _agent_exists(self, workspace: str, name: str) -> bool:
        agent = await self.catalog.find(workspace, name)
        return agent is not None and not agent.declaration.deleted

    async def _workspaces(self) -> AsyncIterator[str]:
        """Yield the workspaces that have spent anything, or have a budget or a channel."""
        for found in (self.daily_costs.workspaces(), self.budgets.workspaces(), self.channels.workspaces()):
            async for workspace in found:
                yield workspace
