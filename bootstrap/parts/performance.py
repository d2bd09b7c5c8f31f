"""The parts of how agents perform."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.spend import SpendParts

if TYPE_CHECKING:
    from llmops.performance.insights import Insights
    from llmops.performance.monitor import Monitor
    from llmops.performance.sla import Target


class PerformanceParts(SpendParts):
    """Makes what tells how agents perform."""

    @cached_property
    def monitor(self) -> Monitor:
        """How agents perform."""
        from llmops.performance.monitor import Monitor

        return Monitor(self.figures)

    @cached_property
    def insights(self) -> Insights:
        """What figures say."""
        from llmops.performance.insights import Insights

        return Insights(self.monitor, self.daily_costs, self.clock)

    @property
    def sla(self) -> Target:
        """What agents are to keep unless their specs say otherwise."""
        from llmops.performance.sla import Target

        return Target(self.settings.sla_latency_ms, self.settings.sla_availability)
