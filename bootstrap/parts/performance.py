"""The parts of how agents perform."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.spend import SpendParts

if TYPE_CHECKING:
    from llmops.performance.insights import Insights
    from llmops.performance.monitor import PerformanceReader
    from llmops.performance.sla import SlaTarget


class PerformanceParts(SpendParts):
    """Makes what tells how agents perform."""

    @cached_property
    def monitor(self) -> PerformanceReader:
        """How agents perform."""
        from llmops.performance.monitor import PerformanceReader

        return PerformanceReader(self.figures)

    @cached_property
    def insights(self) -> Insights:
        """What figures say."""
        from llmops.performance.insights import Insights

        return Insights(self.monitor, self.daily_costs, self.clock)

    @property
    def sla(self) -> SlaTarget:
        """What agents are to keep unless their specs say otherwise."""
        from llmops.performance.sla import SlaTarget

        return SlaTarget(self.settings.sla_latency_ms, self.settings.sla_availability)
