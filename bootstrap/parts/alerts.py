"""The parts of alerts."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.events import EventParts
from bootstrap.parts.notifications import NotificationParts
from bootstrap.parts.performance import PerformanceParts

if TYPE_CHECKING:
    from llmops.alerts.evaluation import Evaluator
    from llmops.alerts.store import Alerts


class AlertParts(EventParts, PerformanceParts, NotificationParts):
    """Makes alerts."""

    @cached_property
    def alerts(self) -> Alerts:
        """Alert rules and what they did."""
        from llmops.alerts.store import Alerts

        return Alerts(self.tables, self.clock)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluates alert rules."""
        from lifecycle.drift.store import PlanStore
        from lifecycle.measures.alarms import RegistryAlarms
        from llmops.alerts.evaluation import Evaluator, Sources

        registry = RegistryAlarms(self.lifecycle_counts, PlanStore(self.tables), self.hit_rates)
        sources = Sources(self.figures, self.daily_costs, registry.figures)
        return Evaluator(self.alerts, sources, self.outbox, self.journal, self.clock)
