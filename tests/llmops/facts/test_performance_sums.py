"""What attempts did, added up: each once, whatever crashes and whoever else is at it; windows, versions, old days."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Span, every
from llmops.facts.attempt_fact import AttemptFact, Continuation, Ending
from llmops.facts.fact_store import Facts
from llmops.facts.performance_summary import PerformanceSummary, summary_of
from llmops.facts.sum_reader import FactSums
from llmops.facts.summing import OPEN_DAYS, FactAggregation
from llmops.performance.monitor import total, versions_of
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, FatefulTables
from tests.llmops.performance.makers import SPEND, failure, outcome

DAY = NOW.date()


def some(count: int) -> list[AttemptFact]:
    return [
        outcome(
            f"run-{n}",
            agent=f"bot{n % 3}",
            version=str(n % 2),
            ending=list(Ending)[n % 4],
            code="" if n % 4 == 0 else "provider_throttled",
            total_ms=n * 37,
            at=NOW - timedelta(minutes=n % 120),
        )
        for n in range(count)
    ]


def expected(outcomes: list[AttemptFact]) -> PerformanceSummary:
    return sum(map(summary_of, outcomes), PerformanceSummary())


async def record(tables: MemoryTables, outcomes: list[AttemptFact]) -> None:
    for each in outcomes:
        await Facts(tables).record(each)


async def read(tables: MemoryTables, agent: str | None = None) -> tuple[PerformanceSummary, PerformanceSummary]:
    """Return what all outcomes of the day come to, by the hour and by the minute."""
    figures = FactSums(tables)
    hours = total(await figures.hours("default", agent, DAY, DAY))
    return hours, total(await figures.window("default", agent, NOW - timedelta(hours=3), NOW))


async def test_each_is_counted_once_folded_or_not(tables: MemoryTables) -> None:
    """Before the fold, after it, after another, and when an attempt is recorded again long after."""
    outcomes = some(60)
    await record(tables, outcomes)
    found = [await read(tables)]
    folded = [await FactAggregation(tables).run(NOW)]
    found.append(await read(tables))
    folded.append(await FactAggregation(tables).run(NOW))
    await record(tables, outcomes)
    folded.append(await FactAggregation(tables).run(NOW))
    found.append(await read(tables))

    assert found == [(expected(outcomes),) * 2] * 3
    assert folded == [60, 0, 0]


async def test_agents_and_workspaces_apart(tables: MemoryTables) -> None:
    """One's name may be the beginning of another's."""
    await record(tables, [outcome("a"), outcome("b", agent="bot2"), outcome("c", workspace="default-2")])
    for _ in range(2):
        assert (await read(tables, "bot"))[0] == expected([outcome("a")])
        assert (await read(tables))[0] == expected([outcome("a"), outcome("b")])
        await FactAggregation(tables).run(NOW)


@pytest.mark.parametrize("error", [Crash, Unavailable])
@pytest.mark.parametrize("after", [False, True])
async def test_dying_at_any_write_loses_and_doubles_nothing(
    error: type[BaseException],
    after: bool,
) -> None:
    """The fold before or after any of its transactions; with old days closed on the way."""
    outcomes = [*some(30), outcome("old", at=NOW - timedelta(days=5))]
    for number in range(1, 14):
        tables = MemoryTables()
        await record(tables, outcomes)
        with contextlib.suppress(Crash, Unavailable):
            await FactAggregation(FatefulTables(tables, Fate(number, after, error))).run(NOW)
        await FactAggregation(tables).run(NOW)

        assert await read(tables) == (expected(outcomes[:-1]),) * 2
        old = await FactSums(tables).hours("default", None, DAY - timedelta(days=5), DAY - timedelta(days=5))
        assert total(old) == expected(outcomes[-1:])


@pytest.mark.parametrize("after", [False, True])
async def test_dying_while_recording(after: bool) -> None:
    """Whoever records again after it adds nothing to what is there."""
    tables = MemoryTables()
    with pytest.raises(Crash):
        await Facts(FatefulTables(tables, Fate(1, after))).record(outcome())
    await record(tables, [outcome()])
    await FactAggregation(tables).run(NOW)
    await record(tables, [outcome()])

    assert (await read(tables))[0] == expected([outcome()])


async def test_several_at_once(tables: MemoryTables) -> None:
    """Folds collide with each other and with what comes in."""
    outcomes = some(150)
    await asyncio.gather(
        record(tables, outcomes[:70]),
        record(tables, outcomes[70:]),
        *(FactAggregation(tables).run(NOW) for _ in range(4)),
    )
    await FactAggregation(tables).run(NOW)

    assert (await read(tables))[0] == expected(outcomes)


async def test_it_reads_what_is_new() -> None:
    """What was folded long ago costs nothing but the look."""
    tables = CountingTables()
    await record(tables, some(1000))
    await FactAggregation(tables).run(NOW)
    await record(tables, [outcome(f"late-{n}") for n in range(3)])
    tables.reset()

    assert await FactAggregation(tables).run(NOW) == 3
    assert tables.rows_read <= 3 * 7 + 4


async def test_a_window_takes_what_is_in_it(tables: MemoryTables) -> None:
    """By the minute; a long one by the hour; over midnight, too."""
    minutes = [outcome(f"m{n}", at=NOW - timedelta(minutes=n)) for n in range(0, 600, 10)]
    await record(tables, minutes)
    figures = FactSums(tables)
    for _ in range(2):
        quarter = await figures.window("default", "bot", NOW - timedelta(minutes=15), NOW)
        long = await figures.window("default", "bot", NOW - timedelta(hours=9), NOW)
        midnight = await figures.window("default", "bot", NOW - timedelta(minutes=525), NOW - timedelta(hours=8))
        assert total(quarter).runs == 2
        assert total(midnight).runs == 53, "all since 23:45 of the day before"
        assert total(long).runs == 58, "08:30 back to 23:00, the hour that 23:30 falls in"
        await FactAggregation(tables).run(NOW)


async def test_old_days_are_closed_and_lose_their_details(tables: MemoryTables) -> None:
    """Their hours stay, their minutes do not; a fact that comes even later is read all the same, and added at last."""
    await record(tables, some(20))
    later = NOW + timedelta(days=OPEN_DAYS)
    await FactAggregation(tables).run(NOW)
    await FactAggregation(tables).run(later)
    await record(tables, [outcome("late")])
    await FactAggregation(tables).run(later)

    rows = [row.key async for row in every(tables, "facts", Span("0", partition_before=":"))]
    hours = total(await FactSums(tables).hours("default", None, DAY, DAY))
    assert {key.split("!")[0] for key in rows} == {"access", "fact", "cost", "hour", "score", "folded", "new"}
    assert hours == expected([*some(20), outcome("late")])
    assert await FactAggregation(tables).run(later + timedelta(days=1)) == 1, "once a day what is late is added"
    assert total(await FactSums(tables).hours("default", None, DAY, DAY)) == hours


async def test_versions_in_the_order_they_were_seen(tables: MemoryTables) -> None:
    """Not by name: version 10 comes after version 9."""
    await record(tables, [outcome("a", version="10"), outcome("b", version="9", at=NOW - timedelta(hours=2))])
    versions = list(versions_of(await FactSums(tables).hours("default", "bot", DAY, DAY)))

    assert [(version, summary.runs) for version, _, summary in versions] == [("9", 1), ("10", 1)]


def test_what_an_outcome_comes_to() -> None:
    """Runs, attempts, money, time and codes, each where it belongs."""
    retried = outcome("a", ending=Ending.RETRIED, code="provider_throttled", quality=None)
    summary = expected(
        [
            retried,
            outcome("a", 2),
            failure("b", dead=True),
            outcome("c", ending=Ending.CANCELLED, quality=None, spend=SPEND - SPEND, model_ms=0),
            outcome(
                "d",
                ending=Ending.PAUSED,
                code="budget_exceeded",
                quality=None,
                continuation=Continuation(continues=True),
            ),
        ]
    )

    assert (summary.runs, summary.attempts, summary.cancelled, summary.dead, summary.paused) == (2, 3, 1, 1, 1)
    assert (summary.availability, summary.error_rate) == (0.5, 0.5)
    assert summary.retry_rate == pytest.approx(1 / 3)
    assert summary.codes == {"provider_throttled": 1, "provider_unavailable": 1}
    assert (summary.latency.count, summary.model.count, summary.queue.count) == (1, 4, 3)
    assert (summary.quality, summary.cost_per_run, summary.wasted_share) == (80, 2000, 0.5)
    assert summary.cached_share == 0.2
    assert (
        PerformanceSummary().quality,
        PerformanceSummary().cost_per_run,
        PerformanceSummary().error_rate,
        PerformanceSummary().wasted_share,
    ) == (None,) * 4
