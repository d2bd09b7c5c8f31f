"""The parts of reports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.budgets import BudgetParts

if TYPE_CHECKING:
    from llmops.budgets.usage import BudgetUsage
    from llmops.reports.store import ReportStore

_MOST_BUDGETS = 50


class ReportParts(BudgetParts):
    """Makes reports."""

    @cached_property
    def reports(self) -> ReportStore:
        """Reports of days, weeks and months."""
        from llmops.reports.store import ReportStore

        return ReportStore(self.tables, self.daily_costs, self._standing, self.outbox.put, self.clock)

    async def _standing(self, workspace: str) -> Sequence[BudgetUsage]:
        return (await self.positions.list(workspace, _MOST_BUDGETS))[0]
