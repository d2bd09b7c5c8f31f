"""Composition of spend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.core import Core
    from bootstrap.parts.metrics import MetricServices
    from llmops.facts.fact_erasure import RunRedaction
    from llmops.facts.fact_store import Facts
    from llmops.facts.sum_reader import FactSums
    from llmops.facts.summing import FactAggregation
    from llmops.reports.daily import DailyCosts


@dataclass(eq=False)
class SpendServices:
    """Builds the facts of attempts, and their sums."""

    _core: Core
    _metrics: MetricServices

    @cached_property
    def facts(self) -> Facts:
        """Writes and reads facts."""
        from llmops.facts.fact_store import Facts

        return Facts(self._core.tables, self._metrics.measures.attempt_recorded)

    @cached_property
    def aggregation(self) -> FactAggregation:
        """Adds facts to sums."""
        from llmops.facts.summing import FactAggregation

        return FactAggregation(self._core.tables)

    @cached_property
    def figures(self) -> FactSums:
        """Reads the sums of facts."""
        from llmops.facts.sum_reader import FactSums

        return FactSums(self._core.tables)

    @cached_property
    def daily_costs(self) -> DailyCosts:
        """Daily costs."""
        from llmops.reports.daily import DailyCosts

        return DailyCosts(self._core.tables)

    @cached_property
    def redaction(self) -> RunRedaction:
        """Erases personal data from a run's facts."""
        from llmops.facts.fact_erasure import RunRedaction

        return RunRedaction(self._core.tables, self.daily_costs.rewrite)
