"""Composition of reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.budgets import BudgetServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.notifications import NotificationServices
    from bootstrap.parts.spend import SpendServices
    from llmops.budgets.budget_usage import ForemostUsage
    from llmops.reports.report_reader import ReportStore


_MOST_BUDGETS = 50


@dataclass(eq=False)
class ReportServices:
    """Builds cost reports."""

    _core: Core
    _spend: SpendServices
    _notifications: NotificationServices
    _budgets: BudgetServices

    @cached_property
    def store(self) -> ReportStore:
        """Reads reports of days, weeks and months."""
        from llmops.reports.report_reader import ReportStore

        return ReportStore(
            self._core.tables, self._spend.daily_costs, self._usage, self._notifications.outbox.put, self._core.clock
        )

    async def _usage(self, workspace: str) -> ForemostUsage:
        return await self._budgets.usage.foremost(workspace, _MOST_BUDGETS)
