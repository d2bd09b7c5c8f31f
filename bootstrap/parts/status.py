"""The parts that say how the whole is."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.runs import RunParts

if TYPE_CHECKING:
    from lifecycle.status.analytics import AnalyticsReader
    from lifecycle.status.checks import SystemStatus
    from llmops.spend.usage import Spend


class StatusParts(RunParts):
    """Makes what says how the whole is."""

    @cached_property
    def system_status(self) -> SystemStatus:
        """Looks how the system is."""
        from lifecycle.status.checks import SystemStatus

        return SystemStatus(
            self.tables,
            self.heartbeats,
            self.lifecycle_counts,
            self.figures,
            self._spent_today,
            started_at=self.started_at,
            clock=self.clock,
            problems=[f"{problem.where}: {problem.what}" for problem in self.extensions.problems],
        )

    @cached_property
    def analytics(self) -> AnalyticsReader:
        """Reads what happened over some days."""
        from lifecycle.status.analytics import AnalyticsReader

        return AnalyticsReader(self.tally, self.monitor, self.lifecycle_counts, self.clock)

    async def _spent_today(self, workspace: str) -> Spend:
        from llmops.spend.usage import Spend

        today = self.clock().date()
        by_day = await self.daily_costs.sums(workspace, today, today, today)
        return sum((spend for groups in by_day.values() for spend in groups.values()), Spend())
