"""The parts of what runs cost."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.metrics import MetricParts

if TYPE_CHECKING:
    from llmops.spend.ledger import Ledger
    from llmops.spend.reports import Reports


class SpendParts(MetricParts):
    """Makes what runs cost."""

    @cached_property
    def ledger(self) -> Ledger:
        """Every model call."""
        from llmops.spend.ledger import Ledger

        return Ledger(self.tables, self.measures.call_recorded)

    @cached_property
    def reports(self) -> Reports:
        """Daily reports, and what was spent."""
        from llmops.spend.reports import Reports

        return Reports(self.tables)
