"""Composition of alerts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.agents import AgentServices
    from bootstrap.parts.approvals import ApprovalServices
    from bootstrap.parts.budgets import BudgetServices
    from bootstrap.parts.capacity import CapacityServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.metrics import MetricServices
    from bootstrap.parts.notifications import NotificationServices
    from bootstrap.parts.spend import SpendServices
    from bootstrap.parts.teams import TeamServices
    from lifecycle.events.forwarding import EventForwarding
    from lifecycle.metrics.current_activity import Activity
    from lifecycle.metrics.workspace_metrics import WorkspaceState
    from llmops.alerts.alert_evaluation import Evaluator
    from llmops.alerts.current_values import Sources
    from llmops.alerts.references import References
    from llmops.alerts.store import AlertStore
    from llmops.notifications.notification_delivery import NotificationDelivery


@dataclass(eq=False)
class AlertServices:
    """Builds alert rules, their evaluation, and the delivery of notifications."""

    _core: Core
    _events: EventServices
    _metrics: MetricServices
    _spend: SpendServices
    _notifications: NotificationServices
    _budgets: BudgetServices
    _approvals: ApprovalServices
    _agents: AgentServices
    _teams: TeamServices
    _capacity: CapacityServices

    @cached_property
    def delivery(self) -> NotificationDelivery:
        """Delivers notifications."""
        from llmops.notifications.notification_delivery import NotificationDelivery

        return NotificationDelivery(
            self._notifications.outbox,
            self._notifications.channels,
            self._notifications.deliveries,
            self._notifications.event_targets,
            self._core.clock,
            self._notifications.mailer,
            self._approvals.links.completed,
        )

    @cached_property
    def forwarding(self) -> EventForwarding:
        """Sends workspaces' events to channels of CloudEvents."""
        from lifecycle.events.forwarding import EventForwarding

        return EventForwarding(
            self._core.tables,
            self._events.journal,
            self._notifications.channels,
            self._notifications.event_targets,
            self._core.clock,
        )

    @cached_property
    def store(self) -> AlertStore:
        """Stores alert rules, their states and their history."""
        from llmops.alerts.defaults import default_rules
        from llmops.alerts.store import AlertStore

        settings = self._core.settings
        defaults = default_rules(latency_ms=settings.sla_latency_ms, enabled=settings.alert_defaults)
        return AlertStore(self._core.tables, self._core.clock, defaults)

    @cached_property
    def references(self) -> References:
        """Checks whether agents and channels that rules name exist."""
        from llmops.alerts.references import References

        return References(self._notifications.channels, self._agent_exists)

    @cached_property
    def activity(self) -> Activity:
        """Reads recent activity in a workspace."""
        from lifecycle.metrics.current_activity import Activity

        return Activity(self._events.daily_counts, self._metrics.workers, self._budgets.waits, self._approvals.store)

    @cached_property
    def workspace_state(self) -> WorkspaceState:
        """Reads the present state of a workspace."""
        from lifecycle.drift.plan_store import PlanStore
        from lifecycle.metrics.registry_alert_metrics import RegistryAlarms
        from lifecycle.metrics.workspace_metrics import WorkspaceState

        registry = RegistryAlarms(self._metrics.lifecycle_counts, PlanStore(self._core.tables), self._metrics.hit_rates)
        return WorkspaceState(
            self.activity,
            registry,
            self._metrics.lifecycle_counts,
            self._budgets.usage,
            self._events.timer_statuses,
            self._teams.figures,
            self._capacity.resources,
        )

    @cached_property
    def sources(self) -> Sources:
        """The sources of metrics for alert rules."""
        from llmops.alerts.current_values import Sources

        return Sources(self._spend.figures, self._spend.daily_costs, self.workspace_state.sources, self._workspaces)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluates alert rules."""
        from llmops.alerts.alert_evaluation import Evaluator

        return Evaluator(self.store, self.sources, self._notifications.outbox, self._events.journal, self._core.clock)

    async def _agent_exists(self, workspace: str, name: str) -> bool:
        agent = await self._agents.catalog.find(workspace, name)
        return agent is not None and not agent.declaration.deleted

    async def _workspaces(self) -> AsyncIterator[str]:
        """Yield the workspaces that have spent anything, or have a budget or a channel."""
        for found in (
            self._spend.daily_costs.workspaces(),
            self._budgets.store.workspaces(),
            self._notifications.channels.workspaces(),
        ):
            async for workspace in found:
                yield workspace
