"""Daily reports: right, written only when something changed, and closed when the day is over."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from llmops.spend.ledger import Ledger
from llmops.spend.reports import OPEN_DAYS, Reports
from llmops.spend.usage import Spend
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, FatefulTables, ShortPageTables
from tests.llmops.conftest import days_ago, line

DAY = NOW.date()


async def test_a_report_adds_up(tables: MemoryTables) -> None:
    """In all, by agent and by model; unpriced calls are counted and cost nothing."""
    ledger, reports = Ledger(tables), Reports(tables)
    for number, (agent, model, cost) in enumerate([("a", "x", 5), ("a", "y", None), ("b", "x", 7)]):
        await ledger.record(line(f"run-{number}", agent=agent, model=model, cost_micro_usd=cost))
    done = await reports.aggregate(NOW)
    report = await reports.get("default", DAY)

    assert (done.lines, done.reports) == (3, 1)
    assert report is not None
    assert (report.total.calls, report.total.cost_micro_usd, report.total.unpriced_calls) == (3, 12, 1)
    assert {name: spend.cost_micro_usd for name, spend in report.by_agent.items()} == {"a": 5, "b": 7}
    assert {name: spend.calls for name, spend in report.by_model.items()} == {"x": 2, "y": 1}
    assert report.updated_at == NOW


async def test_aggregating_again_writes_nothing() -> None:
    """A report that has not changed is not touched."""
    tables = CountingTables()
    for number in range(20):
        await Ledger(tables).record(line(f"run-{number}"))
    await Reports(tables).aggregate(NOW)
    tables.reset()
    done = await Reports(tables).aggregate(NOW + timedelta(minutes=5))

    assert (done.lines, done.reports) == (0, 0)
    assert not [name for name in tables.operations if name.startswith("commit")]


async def test_late_lines_change_an_open_day(tables: MemoryTables) -> None:
    """A line of yesterday that comes today is in yesterday's report."""
    reports = Reports(tables)
    await Ledger(tables).record(line("run-1", at=days_ago(1)))
    await reports.aggregate(NOW)
    await Ledger(tables).record(line("run-2", at=days_ago(1)))
    done = await reports.aggregate(NOW + timedelta(minutes=5))
    report = await reports.get("default", days_ago(1).date())

    assert (done.lines, done.reports) == (1, 1)
    assert report is not None
    assert report.total.calls == 2


async def test_days_are_closed_in_time(tables: MemoryTables) -> None:
    """A day is looked at until it is old enough, and never again."""
    reports = Reports(tables)
    await Ledger(tables).record(line(at=days_ago(5)))
    first = await reports.aggregate(NOW)
    second = await reports.aggregate(NOW)
    next_day = await reports.aggregate(NOW + timedelta(days=1))
    later = await reports.aggregate(NOW + timedelta(days=1))

    assert len(first.days) == 6
    assert list(second.days) == [DAY - timedelta(days=n) for n in reversed(range(OPEN_DAYS))]
    assert (next_day.days[0], later.days[0]) == (second.days[0], second.days[1])
    assert await reports.get("default", days_ago(5).date()) is not None


async def test_an_aggregator_that_was_off_catches_up(tables: MemoryTables) -> None:
    """Weeks later, every day since is aggregated."""
    reports = Reports(tables)
    await reports.aggregate(NOW)
    for offset in range(0, 20, 4):
        await Ledger(tables).record(line(f"run-{offset}", at=NOW + timedelta(days=offset)))
    done = await reports.aggregate(NOW + timedelta(days=20))
    found, token = await reports.list("default", 3, None)
    rest, end = await reports.list("default", 10, token)

    assert (done.lines, done.reports) == (5, 5)
    assert [report.day for report in [*found, *rest]] == [DAY + timedelta(days=n) for n in (16, 12, 8, 4, 0)]
    assert end is None


async def test_dying_at_any_write_is_made_good_by_the_next(tables: MemoryTables) -> None:
    """Sums, report rows and the mark of closed days: all as if nothing had happened."""
    for number in range(1, 16):
        for after in (False, True):
            for error in (Crash, Unavailable):
                fresh = MemoryTables()
                for n in range(12):
                    await Ledger(fresh).record(line(f"run-{n}", at=days_ago(n % 5), model=f"m{n % 2}"))
                with contextlib.suppress(Crash, Unavailable):
                    await Reports(FatefulTables(fresh, Fate(number, after, error))).aggregate(NOW)
                await Reports(fresh).aggregate(NOW)
                by_day = await Reports(fresh).sums("default", days_ago(9).date(), DAY, DAY)

                calls = {day: sum((s for s in sums.values()), Spend()).calls for day, sums in by_day.items() if sums}
                assert calls == {days_ago(n).date(): 3 if n < 2 else 2 for n in range(5)}
                for n in range(5):
                    report = await Reports(fresh).get("default", days_ago(n).date())
                    assert report is not None
                    assert report.total.calls == calls[report.day]


async def test_costs_of_open_days_are_as_of_now(tables: MemoryTables) -> None:
    """Nobody waits for the aggregation: what is not folded yet is counted from the lines."""
    reports = Reports(tables)
    await Ledger(tables).record(line("run-1"))
    before = await reports.sums("default", DAY, DAY, DAY)
    await reports.aggregate(NOW)
    await Ledger(tables).record(line("run-2"))
    after = await reports.sums("default", DAY, DAY, DAY)

    assert [sum(sums[DAY].values(), Spend()).calls for sums in (before, after)] == [1, 2]


async def test_a_range_over_closed_and_open_days(tables: MemoryTables) -> None:
    """Days in the future are none, days outside the range are left out."""
    reports = Reports(tables)
    for n in range(8):
        await Ledger(tables).record(line(f"run-{n}", at=days_ago(n)))
    await reports.aggregate(NOW)
    found = await reports.sums("default", days_ago(6).date(), DAY + timedelta(days=9), DAY)
    inner = await reports.sums("default", days_ago(6).date(), days_ago(5).date(), DAY)

    assert {day: sum(sums.values(), Spend()).calls for day, sums in found.items()} == {
        days_ago(n).date(): 1 for n in range(7)
    }
    assert set(inner) == {days_ago(6).date(), days_ago(5).date()}


async def test_reports_cost_what_is_new() -> None:
    """Lines of earlier aggregations are not read again."""
    tables = CountingTables()
    for n in range(1500):
        await Ledger(tables).record(line(f"run-{n}"))
    await Reports(tables).aggregate(NOW)
    await Ledger(tables).record(line("late"))
    tables.reset()
    await Reports(tables).aggregate(NOW)

    assert tables.rows_read < 40


async def test_the_first_day_is_found_behind_empty_pages() -> None:
    """A range over partitions often begins with an empty page; older days must not be taken for closed."""
    tables = ShortPageTables()
    await Ledger(tables).record(line(at=days_ago(10)))

    assert (await Reports(tables).aggregate(NOW)).lines == 1


async def test_nothing_spent_is_no_report(tables: MemoryTables) -> None:
    """Nor a mark that closes days."""
    done = await Reports(tables).aggregate(NOW)

    assert (done.lines, done.reports, list(done.days)) == (0, 0, [DAY])
    assert await Reports(tables).get("default", DAY) is None
