"""Daily sums: right, written only when something changed, and closed when the day is over."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Delete, Span, Write, every
from llmops.facts.fact_erasure import RunRedaction
from llmops.facts.fact_store import Facts
from llmops.facts.summing import LATE_DAYS, OPEN_DAYS
from llmops.reports.daily import DailyCosts
from llmops.spend.usage import Spend
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, FatefulTables, ShortPageTables
from tests.llmops.conftest import days_ago, fact

DAY = NOW.date()


async def test_a_report_adds_up(tables: MemoryTables) -> None:
    """In all, by agent and by model; unpriced calls are counted and cost nothing."""
    facts, daily = Facts(tables), DailyCosts(tables)
    for number, (agent, model, cost) in enumerate([("a", "x", 5), ("a", "y", None), ("b", "x", 7)]):
        await facts.record(fact(f"run-{number}", agent=agent, model=model, cost_micro_usd=cost))
    done = await daily.aggregate(NOW)
    sheet = (await daily.daily_sums("default", DAY, DAY))[DAY]

    assert (done.folded, done.changed) == (3, 1)
    assert (sheet.total.calls, sheet.total.cost_micro_usd, sheet.total.unpriced_calls) == (3, 12, 1)
    assert {name: spend.cost_micro_usd for name, spend in sheet.by_agent.items()} == {"a": 5, "b": 7}
    assert {name: spend.calls for name, spend in sheet.by_model.items()} == {"x": 2, "y": 1}
    assert [workspace async for workspace in daily.workspaces()] == ["default"]


async def test_aggregating_again_writes_nothing() -> None:
    """A report that has not changed is not touched."""
    tables = CountingTables()
    for number in range(20):
        await Facts(tables).record(fact(f"run-{number}"))
    await DailyCosts(tables).aggregate(NOW)
    tables.reset()
    done = await DailyCosts(tables).aggregate(NOW + timedelta(minutes=5))

    assert (done.folded, done.changed) == (0, 0)
    assert not [name for name in tables.operations if name.startswith("commit")]


async def test_late_facts_change_an_open_day(tables: MemoryTables) -> None:
    """A fact of yesterday that comes today is in yesterday's report."""
    daily = DailyCosts(tables)
    await Facts(tables).record(fact("run-1", at=days_ago(1)))
    await daily.aggregate(NOW)
    await Facts(tables).record(fact("run-2", at=days_ago(1)))
    done = await daily.aggregate(NOW + timedelta(minutes=5))
    sheets = await daily.daily_sums("default", days_ago(1).date(), DAY)

    assert (done.folded, done.changed) == (1, 1)
    assert {day: sheet.total.calls for day, sheet in sheets.items()} == {days_ago(1).date(): 2}


async def test_days_are_closed_in_time(tables: MemoryTables) -> None:
    """A day is looked at until it is old enough, and never again."""
    daily = DailyCosts(tables)
    await Facts(tables).record(fact(at=days_ago(5)))
    first = await daily.aggregate(NOW)
    second = await daily.aggregate(NOW)
    next_day = await daily.aggregate(NOW + timedelta(days=1))
    later = await daily.aggregate(NOW + timedelta(days=1))

    assert len(first.days) == 6
    assert list(second.days) == [DAY - timedelta(days=n) for n in reversed(range(OPEN_DAYS))]
    assert (next_day.days[0], later.days[0]) == (second.days[0], second.days[1])
    assert list(await daily.daily_sums("default", days_ago(9).date(), DAY)) == [days_ago(5).date()]


async def test_an_aggregator_that_was_off_catches_up(tables: MemoryTables) -> None:
    """Weeks later, every day since is aggregated."""
    daily = DailyCosts(tables)
    await daily.aggregate(NOW)
    for offset in range(0, 20, 4):
        await Facts(tables).record(fact(f"run-{offset}", at=NOW + timedelta(days=offset)))
    done = await daily.aggregate(NOW + timedelta(days=20))
    totals = [day async for day, _ in daily.totals("default")]
    earlier = [day async for day, _ in daily.totals("default", totals[2])]

    assert (done.folded, done.changed) == (5, 5)
    assert totals == [DAY + timedelta(days=n) for n in (16, 12, 8, 4, 0)]
    assert earlier == totals[3:]


async def test_dying_at_any_write_is_made_good_by_the_next(tables: MemoryTables) -> None:
    """Sums, report rows and the mark of closed days: all as if nothing had happened."""
    for number in range(1, 22):
        for after in (False, True):
            for error in (Crash, Unavailable):
                fresh = MemoryTables()
                for n in range(12):
                    await Facts(fresh).record(fact(f"run-{n}", at=days_ago(n % 5), model=f"m{n % 2}"))
                with contextlib.suppress(Crash, Unavailable):
                    await DailyCosts(FatefulTables(fresh, Fate(number, after, error))).aggregate(NOW)
                await DailyCosts(fresh).aggregate(NOW)
                by_day = await DailyCosts(fresh).sums("default", days_ago(9).date(), DAY, DAY)

                calls = {day: sum((s for s in sums.values()), Spend()).calls for day, sums in by_day.items() if sums}
                assert calls == {days_ago(n).date(): 3 if n < 2 else 2 for n in range(5)}
                sheets = await DailyCosts(fresh).daily_sums("default", days_ago(9).date(), DAY)
                assert {day: sheet.total.calls for day, sheet in sheets.items()} == calls


async def test_costs_of_open_days_are_as_of_now(tables: MemoryTables) -> None:
    """Nobody waits for the aggregation: what is not folded yet is counted from the facts."""
    daily = DailyCosts(tables)
    await Facts(tables).record(fact("run-1"))
    before = await daily.sums("default", DAY, DAY, DAY)
    await daily.aggregate(NOW)
    await Facts(tables).record(fact("run-2"))
    after = await daily.sums("default", DAY, DAY, DAY)

    assert [sum(sums[DAY].values(), Spend()).calls for sums in (before, after)] == [1, 2]


async def test_a_range_over_closed_and_open_days(tables: MemoryTables) -> None:
    """Days in the future are none, days outside the range are left out."""
    daily = DailyCosts(tables)
    for n in range(8):
        await Facts(tables).record(fact(f"run-{n}", at=days_ago(n)))
    await daily.aggregate(NOW)
    found = await daily.sums("default", days_ago(6).date(), DAY + timedelta(days=9), DAY)
    inner = await daily.sums("default", days_ago(6).date(), days_ago(5).date(), DAY)

    assert {day: sum(sums.values(), Spend()).calls for day, sums in found.items()} == {
        days_ago(n).date(): 1 for n in range(7)
    }
    assert set(inner) == {days_ago(6).date(), days_ago(5).date()}


async def test_reports_cost_what_is_new() -> None:
    """Facts of earlier aggregations are not read again."""
    tables = CountingTables()
    for n in range(1500):
        await Facts(tables).record(fact(f"run-{n}"))
    await DailyCosts(tables).aggregate(NOW)
    await Facts(tables).record(fact("late"))
    tables.reset()
    await DailyCosts(tables).aggregate(NOW)

    assert tables.rows_read < 40


async def test_the_first_day_is_found_behind_empty_pages() -> None:
    """A range over partitions often begins with an empty page; older days must not be taken for closed."""
    tables = ShortPageTables()
    await Facts(tables).record(fact(at=days_ago(10)))

    assert (await DailyCosts(tables).aggregate(NOW)).folded == 1


async def test_a_pass_without_news_reads_no_sums() -> None:
    tables = CountingTables()
    for n in range(300):
        await Facts(tables).record(fact(f"run-{n}", user_id=f"user-{n}"))
    await DailyCosts(tables).aggregate(NOW)
    await DailyCosts(tables).aggregate(NOW)
    tables.reset()
    await DailyCosts(tables).aggregate(NOW)

    assert tables.rows_read <= 3 + OPEN_DAYS * 9  # where it stands, and how much each shard holds


async def test_facts_that_come_to_a_closed_day_are_added_with_the_next_day(tables: MemoryTables) -> None:
    daily = DailyCosts(tables)
    await Facts(tables).record(fact("run-1", at=days_ago(10)))
    await daily.aggregate(NOW)
    await Facts(tables).record(fact("run-2", at=days_ago(10)))
    await Facts(tables).record(fact("too-late", at=days_ago(LATE_DAYS + 20)))
    same_day = await daily.aggregate(NOW)
    next_day = await daily.aggregate(NOW + timedelta(days=1))
    sheets = await daily.daily_sums("default", days_ago(400).date(), DAY)
    sums = await daily.sums("default", days_ago(10).date(), days_ago(10).date(), DAY)

    assert (same_day.folded, next_day.folded) == (0, 1)
    assert {day: sheet.total.calls for day, sheet in sheets.items()} == {days_ago(10).date(): 2}
    assert [spend.calls for spend in sums[days_ago(10).date()].values()] == [2]


async def test_nothing_spent_is_no_day(tables: MemoryTables) -> None:
    """Nor a mark that closes days."""
    done = await DailyCosts(tables).aggregate(NOW)

    assert (done.folded, done.changed, list(done.days)) == (0, 0, [DAY])
    assert await DailyCosts(tables).daily_sums("default", DAY, DAY) == {}


class Interrupted(MemoryTables):
    """Tables in which something happens just before an aggregation's first write to the reports."""

    def __init__(self, happens: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.happens: Callable[[], Awaitable[None]] | None = happens

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        if table == "reports" and self.happens is not None and any("cost!" in _key(write) for write in writes):
            happens, self.happens = self.happens, None
            await happens()
        return await super().commit(table, writes)


def _key(write: Write) -> str:
    return write.key if isinstance(write, Delete) else write.row.key


async def test_who_is_forgotten_in_the_middle_of_an_aggregation_stays_forgotten() -> None:
    """The aggregation has read the sums before they lost the name, and writes them after."""

    async def forget() -> None:
        await RunRedaction(tables, DailyCosts(tables).rewrite).redact(
            "default", "bot", "run-2", fact().timing.accepted_at, NOW
        )

    tables = Interrupted(forget)
    await Facts(tables).record(fact("run-1", user_id="eve"))
    happens, tables.happens = tables.happens, None
    await DailyCosts(tables).aggregate(NOW)
    await RunRedaction(tables, DailyCosts(tables).rewrite).redact(
        "default", "bot", "run-1", fact().timing.accepted_at, NOW
    )
    await Facts(tables).record(fact("run-2", user_id="eve"))
    tables.happens = happens
    await DailyCosts(tables).aggregate(NOW)
    rows = [row async for row in every(tables, "reports", Span("default"))]

    assert tables.happens is None
    assert not [row.key for row in rows if "eve" in str(row.values)]
    assert (await DailyCosts(tables).daily_sums("default", DAY, DAY))[DAY].by_user[""].calls == 2
