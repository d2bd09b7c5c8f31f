"""The parts of how agents perform."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.spend import SpendParts

if TYPE_CHECKING:
    from llmops.performance.insights import Insights
    from llmops.performance.monitor import Monitor
    from llmops.performance.outcomes import Outcomes
    from llmops.performance.rollup import Rollup
    from llmops.performance.sla import Target


class PerformanceParts(SpendParts):
    """Makes what tells how agents perform."""

    @cached_property
    def outcomes(self) -> Outcomes:
        """Every attempt that ended."""
        from llmops.performance.outcomes import Outcomes

        return Outcomes(self.tables)

    @cached_property
    def performance_rollup(self) -> Rollup:
        """What outcomes come to."""
        from llmops.performance.rollup import Rollup

        return Rollup(self.tables)

    @cached_property
    def monitor(self) -> Monitor:
        """How agents perform."""
        from llmops.performance.monitor import Monitor

        return Monitor(self.performance_rollup)

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
