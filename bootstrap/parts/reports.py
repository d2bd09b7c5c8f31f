"""The parts of reports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.budgets import BudgetParts

if TYPE_CHECKING:
    from llmops.budgets.positions import Position
    from llmops.reports.store import Reports

_MOST_BUDGETS = 50


class ReportParts(BudgetParts):
    """Makes reports."""

    @cached_property
    def reports(self) -> Reports:
        """Reports of days, weeks and months."""
        from llmops.reports.store import Reports

        return Reports(self.tables, self.daily_costs, self._standing, self.outbox.put, self.clock)

    async def _standing(self, workspace: str) -> Sequence[Position]:
        return (await self.positions.list(workspace, _MOST_BUDGETS))[0]
