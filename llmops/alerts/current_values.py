"""Reading the current values of the metrics of alert rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from llmops.alerts.alert_metrics import FROM_LEDGER, WHOLE_WORKSPACE, Metric, value_of
from llmops.facts.performance_summary import PerformanceSummary
from llmops.facts.sum_reader import FactSums, window_start
from llmops.performance.monitor import total
from llmops.reports.daily import DailyCosts
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from llmops.alerts.alert_rules import AlertRule
    from llmops.alerts.store import Alert
    from llmops.facts.sums import Cell
    from llmops.spend.costs import Group

WorkspaceFigures = Callable[[str, datetime, datetime], Awaitable[Mapping[Metric, float]]]
"""Returns a workspace's metrics from a time until now, by name; metrics without a value are left out."""
Workspaces = Callable[[], AsyncIterator[str]]
"""Yields the workspaces in which the default rules are evaluated; a workspace may be yielded more than once."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of metrics.

    Attributes:
        figures: Sums of facts by minute and by hour.
        costs: Sums of costs by day.
        others: Source of each metric in WHOLE_WORKSPACE.
        workspaces: See Workspaces.
    """

    figures: FactSums
    costs: DailyCosts
    others: Mapping[Metric, WorkspaceFigures]
    workspaces: Workspaces


class MetricReader:
    """Reads metrics as of one moment; what several rules need is read once."""

    def __init__(self, sources: Sources, now: datetime) -> None:
        self._sources = sources
        self._now = now
        self._windows: dict[tuple[str, str | None, int], asyncio.Future[Sequence[Cell]]] = {}
        self._days: dict[str, asyncio.Future[dict[date, dict[Group, Spend]]]] = {}
        self._others: dict[tuple[WorkspaceFigures, str, int], asyncio.Future[Mapping[Metric, float]]] = {}

    async def value(self, alert: Alert) -> float | None:
        """Return the value of the rule's metric; None without data."""
        rule = alert.rule
        if rule.metric in WHOLE_WORKSPACE:
            return (await self._other(alert.workspace, rule)).get(rule.metric)
        if rule.metric in FROM_LEDGER:
            summary = PerformanceSummary(spend=await self._spent_today(alert.workspace, rule))
        else:
            summary = total([cell for cell in await self._cells(alert.workspace, rule) if rule.covers(cell.agent)])
        since = self._now - timedelta(seconds=rule.window_s)
        covered = self._now - window_start(since, self._now)  # whole minutes or hours, so more than the window
        return value_of(rule.metric, summary, covered.total_seconds(), rule.min_runs)

    async def _other(self, workspace: str, rule: AlertRule) -> Mapping[Metric, float]:
        source = self._sources.others[rule.metric]
        key = (source, workspace, rule.window_s)
        if key not in self._others:
            reading = source(workspace, self._now - timedelta(seconds=rule.window_s), self._now)
            self._others[key] = asyncio.ensure_future(reading)
        return await self._others[key]

    async def _cells(self, workspace: str, rule: AlertRule) -> Sequence[Cell]:
        agent = None if rule.of_several else rule.agent
        key = (workspace, agent, rule.window_s)
        if key not in self._windows:
            since = self._now - timedelta(seconds=rule.window_s)
            self._windows[key] = asyncio.ensure_future(self._sources.figures.window(workspace, agent, since, self._now))
        return await self._windows[key]

    async def _spent_today(self, workspace: str, rule: AlertRule) -> Spend:
        if workspace not in self._days:
            today = self._now.date()
            self._days[workspace] = asyncio.ensure_future(self._sources.costs.sums(workspace, today, today, today))
        sums = [item for groups in (await self._days[workspace]).values() for item in groups.items()]
        return sum((spend for group, spend in sums if rule.covers(group.agent)), Spend())
