"""Composition of status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.alerts import AlertServices
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.extensions import ExtensionServices
    from bootstrap.parts.metrics import MetricServices
    from bootstrap.parts.performance import PerformanceServices
    from bootstrap.parts.spend import SpendServices
    from lifecycle.status.analytics import AnalyticsReader
    from lifecycle.status.health_checks import SystemStatus
    from lifecycle.status.workspace_readings import Today


@dataclass(eq=False)
class StatusServices:
    """Builds status and analytics."""

    _core: Core
    _events: EventServices
    _metrics: MetricServices
    _spend: SpendServices
    _extensions: ExtensionServices
    _performance: PerformanceServices
    _alerts: AlertServices

    @cached_property
    def system(self) -> SystemStatus:
        """Determines the status of the system."""
        from lifecycle.status.health_checks import SystemStatus

        return SystemStatus(
            self._core.tables,
            self._events.timer_statuses,
            self._spend.figures,
            self.misconfigured_alerts,
            started_at=self._core.started_at,
            problems=[f"{problem.where}: {problem.what}" for problem in self._extensions.loaded.problems],
        )

    @cached_property
    def analytics(self) -> AnalyticsReader:
        """Reads analytics of some days."""
        from lifecycle.status.analytics import AnalyticsReader

        return AnalyticsReader(self._events.daily_counts, self._performance.reader, self._alerts.activity)

    def today(self, workspace: str) -> Today:
        """Return a workspace's day so far; what of it is asked for is read once."""
        from lifecycle.status.workspace_readings import Today

        return Today(workspace, self._core.clock(), self._spend.figures, self._metrics.lifecycle_counts)

    async def misconfigured_alerts(self, workspace: str) -> Sequence[str]:
        """Return the names of enabled alert rules that name an agent or channel that does not exist."""
        from llmops.alerts.store import MOST

        alerts, _ = await self._alerts.store.list(workspace, MOST * 2)
        aims = await self._alerts.references.targets(workspace, [alert.rule for alert in alerts])
        return [alert.name for alert, aim in zip(alerts, aims, strict=True) if aim.missing and alert.rule.enabled]
