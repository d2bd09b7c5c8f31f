"""The parts of what runs cost."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.metrics import MetricParts

if TYPE_CHECKING:
    from llmops.facts.figures import Figures
    from llmops.facts.folding import FactAggregation
    from llmops.facts.store import Facts
    from llmops.reports.daily import DailyCosts


class SpendParts(MetricParts):
    """Makes what runs cost."""

    @cached_property
    def facts(self) -> Facts:
        """What every attempt did."""
        from llmops.facts.store import Facts

        return Facts(self.tables, self.measures.attempt_recorded)

    @cached_property
    def folding(self) -> FactAggregation:
        """Adds facts up."""
        from llmops.facts.folding import FactAggregation

        return FactAggregation(self.tables)

    @cached_property
    def figures(self) -> Figures:
        """What facts add up to."""
        from llmops.facts.figures import Figures

        return Figures(self.tables)

    @cached_property
    def daily_costs(self) -> DailyCosts:
        """What was spent, day by day."""
        from llmops.reports.daily import DailyCosts

        return DailyCosts(self.tables)
