"""Composition of performance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.core import Core
    from bootstrap.parts.spend import SpendServices
    from llmops.performance.insights import Insights
    from llmops.performance.monitor import PerformanceReader
    from llmops.performance.sla import SlaTarget


@dataclass(eq=False)
class PerformanceServices:
    """Builds the reading of agents' performance."""

    _core: Core
    _spend: SpendServices

    @cached_property
    def reader(self) -> PerformanceReader:
        """Reads the performance of agents."""
        from llmops.performance.monitor import PerformanceReader

        return PerformanceReader(self._spend.figures)

    @cached_property
    def insights(self) -> Insights:
        """Finds insights in figures."""
        from llmops.performance.insights import Insights

        return Insights(self.reader, self._spend.daily_costs, self._core.clock)

    @property
    def sla(self) -> SlaTarget:
        """The default service level, for specs without their own."""
        from llmops.performance.sla import SlaTarget

        return SlaTarget(self._core.settings.sla_latency_ms, self._core.settings.sla_availability)
