"""Reports of periods: read, listed, and announced once."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import NotFound
from kernel.tables import Tables
from llmops.budgets.budget_usage import BudgetUsage, ForemostUsage
from llmops.facts.fact_store import Facts
from llmops.notifications.notification import Notification
from llmops.reports.daily import DailyCosts
from llmops.reports.periods import parse_period
from llmops.reports.report_reader import ReportStore
from tests.lifecycle.doubles import Crash, Fate, FatefulTables, ManualClock
from tests.llmops.conftest import fact

NOW = datetime(2026, 11, 21, 15, tzinfo=UTC)
BUDGET = BudgetUsage("workspace", "usd", "month", 100, 40, 0, None)


class Office:
    """Reports with a clock and a heap of what was put out."""

    def __init__(self, tables: Tables | None = None, now: datetime = NOW) -> None:
        self.tables = tables or MemoryTables()
        self.clock = ManualClock(now)
        self.daily = DailyCosts(self.tables)
        self.sent: list[Notification] = []
        self.reports = ReportStore(self.tables, self.daily, self._standing, self._put, self.clock)

    async def spend(self, days_ago: int, cost: int = 1_000_000, workspace: str = "default") -> None:
        at = NOW - timedelta(days=days_ago)
        ident = f"{workspace}-{days_ago}-{cost}"
        await Facts(self.tables).record(fact(ident, at=at, cost_micro_usd=cost, workspace=workspace))

    async def _standing(self, workspace: str) -> ForemostUsage:
        return ForemostUsage([BUDGET] if workspace == "default" else [])

    async def _put(self, notification: Notification) -> None:
        self.sent.append(notification)


async def test_a_report_is_of_what_was_spent_until_now() -> None:
    """A fact that comes later is in the day's, the week's and the month's."""
    office = Office()
    await office.spend(0)
    await office.daily.aggregate(NOW)
    before = [await office.reports.get("default", parse_period(key)) for key in ("2026-11-21", "2026-W47", "2026-11")]
    await office.spend(0, 2_000_000)
    await office.daily.aggregate(NOW)
    after = [await office.reports.get("default", parse_period(key)) for key in ("2026-11-21", "2026-W47", "2026-11")]

    assert [report.total.cost_micro_usd for report in before] == [1_000_000] * 3
    assert [report.total.cost_micro_usd for report in after] == [3_000_000] * 3
    assert [report.budgets for report in after] == [[BUDGET]] * 3


@pytest.mark.parametrize(
    ("workspace", "key"), [("default", "2026-11-20"), ("other", "2026-11"), ("default", "2026-12")]
)
async def test_of_nothing_spent_there_is_no_report(workspace: str, key: str) -> None:
    office = Office()
    await office.spend(0)
    await office.daily.aggregate(NOW)

    with pytest.raises(NotFound) as caught:
        await office.reports.get(workspace, parse_period(key))

    assert caught.value.code == "report_not_found"


async def test_periods_are_listed_newest_first_and_paged() -> None:
    office = Office()
    for days_ago in (0, 1, 30, 31, 90):
        await office.spend(days_ago)
    await office.daily.aggregate(NOW)
    days, _ = await office.reports.list("default", "day", 10)
    months, before = await office.reports.list("default", "month", 2)
    rest, end = await office.reports.list("default", "month", 2, before)

    assert [one.period.key for one in days] == ["2026-11-21", "2026-11-20", "2026-10-22", "2026-10-21", "2026-08-23"]
    assert [one.complete for one in days][:2] == [False, True]
    assert [(one.period.key, one.total.calls) for one in (*months, *rest)] == [
        ("2026-11", 2),
        ("2026-10", 2),
        ("2026-08", 1),
    ]
    assert end is None
    assert await office.reports.list("other", "month", 2) == ([], None)


async def test_a_period_is_announced_when_it_has_ended_and_once() -> None:
    office = Office(now=datetime(2026, 11, 22, 0, 30, tzinfo=UTC))
    for workspace in ("default", "team"):
        await office.spend(0, workspace=workspace)
    await office.daily.aggregate(office.clock.now)
    too_early = await office.reports.announce()
    office.clock.move(hours=1)
    announced = await office.reports.announce()
    again = await office.reports.announce()
    office.clock.move(days=1)  # the week has ended with the 22nd, on which nothing was spent
    week = await office.reports.announce()

    assert (too_early, announced, again, week) == (0, 2, 0, 2)
    assert [(one.id, one.workspace) for one in office.sent] == [
        ("report.ready!2026-11-21", "default"),
        ("report.ready!2026-11-21", "team"),
        ("report.ready!2026-W47", "default"),
        ("report.ready!2026-W47", "team"),
    ]
    assert office.sent[0].title == "Costs of day 2026-11-21: $1.00"
    assert office.sent[0].facts["Dearest agent"] == "bot, $1.00"


async def test_a_period_whose_last_days_cost_nothing_is_announced_in_time_to_be_sent() -> None:
    """Of a week without spending at its end: what is older than a day is not sent."""
    office = Office(now=datetime(2026, 11, 21, 16, tzinfo=UTC))
    await office.spend(0)
    await office.daily.aggregate(office.clock.now)
    office.clock.move(days=1, hours=10)  # Monday, 02:00
    await office.reports.announce()

    [week] = [one for one in office.sent if one.id == "report.ready!2026-W47"]
    assert week.at == office.clock.now


async def test_days_on_which_nobody_was_there_to_announce_are_made_up_for() -> None:
    office = Office(now=NOW)
    for days_ago in range(6):
        await office.spend(days_ago)
    await office.daily.aggregate(NOW)
    await office.reports.announce()
    office.sent.clear()
    office.clock.move(days=2)
    await office.reports.announce()

    assert [one.id for one in office.sent if "W" not in one.id] == ["report.ready!2026-11-21"]


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_announces_the_same_again_and_loses_none(at: int, after: bool) -> None:
    office = Office(now=NOW)
    await office.spend(1)
    await office.daily.aggregate(NOW)
    struck = Office(FatefulTables(office.tables, Fate(at, after=after)), NOW)
    with contextlib.suppress(Crash):
        await struck.reports.announce()
    await office.reports.announce()

    assert {one.id for one in (*struck.sent, *office.sent)} == {"report.ready!2026-11-20"}
