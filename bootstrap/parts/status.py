"""The parts that say how the whole is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.alerts import AlertParts
from bootstrap.parts.runs import RunParts

if TYPE_CHECKING:
    from lifecycle.status.analytics import AnalyticsReader
    from lifecycle.status.checks import SystemStatus
    from llmops.spend.usage import Spend


class StatusParts(RunParts, AlertParts):
    """Makes what says how the whole is."""

    @cached_property
    def system_status(self) -> SystemStatus:
        """Looks how the system is."""
        from lifecycle.status.checks import SystemStatus

        return SystemStatus(
            self.tables,
            self.timer_statuses,
            self.lifecycle_counts,
            self.figures,
            self._spent_today,
            self.misconfigured_alerts,
            started_at=self.started_at,
            clock=self.clock,
            problems=[f"{problem.where}: {problem.what}" for problem in self.extensions.problems],
        )

    @cached_property
    def analytics(self) -> AnalyticsReader:
        """Reads what happened over some days."""
        from lifecycle.status.analytics import AnalyticsReader

        return AnalyticsReader(self.daily_counts, self.monitor, self.lifecycle_counts, self.activity, self.clock)

    async def misconfigured_alerts(self, workspace: str) -> Sequence[str]:
        """Return the names of the alert rules that are switched on and name what is not there."""
        from llmops.alerts.store import MOST

        alerts, _ = await self.alerts.list(workspace, MOST * 2)
        aims = await self.alert_references.targets(workspace, [alert.rule for alert in alerts])
        return [alert.name for alert, aim in zip(alerts, aims, strict=True) if aim.missing and alert.rule.enabled]

    async def _spent_today(self, workspace: str) -> Spend:
        from llmops.spend.usage import Spend

        today = self.clock().date()
        by_day = await self.daily_costs.sums(workspace, today, today, today)
        return sum((spend for groups in by_day.values() for spend in groups.values()), Spend())
