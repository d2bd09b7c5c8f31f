"""Reading reports of days, weeks and months, and announcing finished ones.

A report is computed from the days' breakdowns when it is requested, so late facts are in all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, get_args

from kernel.errors import NotFound
from kernel.lazy_dataclass import dataclass
from kernel.tables import Row, Tables, Upsert
from llmops.reports.daily import TABLE, DailyCosts
from llmops.reports.periods import Kind, Period, period_of
from llmops.reports.report import HISTORY_DAYS, Report, report_of
from llmops.reports.wording import announcement
from llmops.spend.usage import Spend

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.budgets.budget_usage import ForemostUsage
    from llmops.notifications.notification import Notification

GRACE = timedelta(hours=1)
"""How long after its end a period is announced, so that calls under way at its end are included."""

_LOOK_BACK = 3
"""Most periods of a kind that are announced late, after the timer did not run."""


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """A period and its spend."""

    period: Period
    complete: bool
    total: Spend


class ReportStore:
    """Reads and announces reports."""

    def __init__(
        self,
        tables: Tables,
        daily: DailyCosts,
        usage: Callable[[str], Awaitable[ForemostUsage]],
        put: Callable[[Notification], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """Set the daily costs, the reader of budget usage, and the function that sends announcements."""
        self._tables = tables
        self._daily = daily
        self._usage = usage
        self._put = put
        self._clock = clock

    async def get(self, workspace: str, period: Period) -> Report:
        """Return the report of the period.

        Raises:
            NotFound: Nothing was spent in it, or it is not aggregated yet.
        """
        now = self._clock()
        history = period.last - timedelta(days=HISTORY_DAYS)
        sheets = await self._daily.daily_sums(workspace, min(history, period.previous.first), period.last)
        if not any(day in period for day in sheets):
            raise NotFound(f"There is no report of {period.key} (yet).", code="report_not_found")
        usage = await self._usage(workspace) if now.date() in period else None
        return report_of(workspace, period, sheets, now, usage)

    async def list(
        self, workspace: str, kind: Kind, limit: int, before: date | None = None
    ) -> tuple[Sequence[ReportSummary], date | None]:
        """Return up to `limit` periods with spending, newest first, and the day to continue before; None at the end."""
        today, found = self._clock().date(), dict[Period, Spend]()
        async for day, total in self._daily.totals(workspace, before):
            period = period_of(kind, day)
            if period not in found and len(found) == limit:
                last = list(found)[-1]
                return _summaries(found, today), last.first
            found[period] = found.get(period, Spend()) + total
        return _summaries(found, today), None

    async def announce(self) -> int:
        """Send a notification for every period that has ended, once per workspace; return the number.

        Repeated after a crash it changes nothing: a notification's id is derived from its period.
        """
        now, count = self._clock(), 0
        for kind in get_args(Kind):
            newest = period_of(kind, (now - GRACE).date()).previous
            for period in await self._to_announce(kind, newest):
                async for workspace in self._daily.workspaces():
                    count += await self._announce(workspace, period)
                await self._tables.commit(TABLE, [Upsert(Row("_aggregation", f"told!{kind}", {"period": period.key}))])
        return count

    async def _to_announce(self, kind: Kind, newest: Period) -> Sequence[Period]:
        announced = await self._tables.get(TABLE, "_aggregation", f"told!{kind}")
        if announced is None:
            return [newest]
        periods = [newest]
        while len(periods) < _LOOK_BACK:
            periods.append(periods[-1].previous)
        return [period for period in reversed(periods) if period.key > announced.text("period")]

    async def _announce(self, workspace: str, period: Period) -> int:
        try:
            report = await self.get(workspace, period)
        except NotFound:
            return 0
        await self._put(announcement(report, self._clock()))
        return 1


def _summaries(found: dict[Period, Spend], today: date) -> Sequence[ReportSummary]:
    return [ReportSummary(period, period.last < today, total) for period, total in found.items()]
