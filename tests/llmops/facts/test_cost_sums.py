"""Adding costs to sums: each once, whatever crashes and whoever else is at it, reading only what is new."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Span, every
from llmops.facts.attempt_fact import AttemptFact
from llmops.facts.fact_store import Facts
from llmops.facts.sum_reader import FactSums
from llmops.facts.summing import FactAggregation
from llmops.facts.sums import costs_of
from llmops.spend.costs import Group, add_up
from llmops.spend.usage import Spend
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, FatefulTables, ShortPageTables
from tests.llmops.conftest import fact
from tests.waiting import QUIET_S

DAY = NOW.date()


def expected(facts: Sequence[AttemptFact]) -> dict[Group, Spend]:
    return add_up(item for each in facts for item in costs_of(each).items())


def some_facts(count: int, groups: int = 3) -> list[AttemptFact]:
    return [
        fact(f"run-{n}", agent=f"bot{n % 2}", model=f"model-{n % groups}", cost_micro_usd=None if n % 7 == 0 else n)
        for n in range(count)
    ]


async def record(tables: MemoryTables, facts: Sequence[AttemptFact]) -> None:
    for each in facts:
        await Facts(tables).record(each)


async def folded_sums(tables: MemoryTables, workspace: str | None = None) -> dict[Group, Spend]:
    return await FactSums(tables).costs(DAY, workspace, new=False)


async def new_rows(tables: MemoryTables) -> int:
    rows = every(tables, "facts", Span("0", partition_before=":"))
    return len([row async for row in rows if row.key.startswith("new!")])


async def test_facts_are_added_once(tables: MemoryTables) -> None:
    """Folding again finds nothing to add."""
    facts = some_facts(40)
    await record(tables, facts)
    folded = [await FactAggregation(tables).run(NOW), await FactAggregation(tables).run(NOW)]

    assert folded == [40, 0]
    assert await folded_sums(tables) == expected(facts)
    assert await new_rows(tables) == 0
    of_run = await Facts(tables).of_run("default", "bot1", "run-5", facts[5].timing.accepted_at, NOW)
    assert [kept.fact for kept in of_run] == [facts[5]], "the fact itself is kept"


async def test_later_facts_are_added_to_the_sums(tables: MemoryTables) -> None:
    """A sum grows with every fold."""
    facts = some_facts(60)
    for start in range(0, 60, 20):
        await record(tables, facts[start : start + 20])
        await FactAggregation(tables).run(NOW)

    assert await folded_sums(tables) == expected(facts)


async def test_more_facts_than_fit_in_a_transaction(tables: MemoryTables) -> None:
    """Hundreds of facts of one agent, in few and in many groups."""
    for groups in (1, 2, 50, 99, 120):
        fresh = MemoryTables()
        facts = [fact(f"run-{n}", user_id=f"user{n % groups}") for n in range(300)]
        await record(fresh, facts)

        assert await FactAggregation(fresh).run(NOW) == 300
        assert await folded_sums(fresh) == expected(facts)


async def test_dying_at_any_write_loses_and_doubles_nothing(tables: MemoryTables) -> None:
    """Before the transaction or after it, the next fold ends with the right sums."""
    facts = some_facts(30)
    for number in range(1, 9):
        for after in (False, True):
            for error in (Crash, Unavailable):
                fresh = MemoryTables()
                await record(fresh, facts)
                with contextlib.suppress(Crash, Unavailable):
                    await FactAggregation(FatefulTables(fresh, Fate(number, after, error))).run(NOW)
                await FactAggregation(fresh).run(NOW)

                assert await folded_sums(fresh) == expected(facts)


async def test_two_aggregators_at_once_add_each_fact_once(tables: MemoryTables) -> None:
    """They collide, and the slower one starts over."""
    facts = some_facts(200)
    await record(tables, facts)
    folded = await asyncio.gather(*(FactAggregation(tables).run(NOW) for _ in range(4)))

    assert sum(folded) == 200
    assert await folded_sums(tables) == expected(facts)


async def test_folding_while_facts_come_in(tables: MemoryTables) -> None:
    """Nothing of what is written meanwhile is lost or doubled."""
    facts = some_facts(150)

    async def fold() -> None:
        for _ in range(10):
            await FactAggregation(tables).run(NOW)

    await asyncio.gather(record(tables, facts[:75]), record(tables, facts[75:]), fold(), fold())
    await FactAggregation(tables).run(NOW)

    assert await folded_sums(tables) == expected(facts)


async def test_it_reads_what_is_new_and_not_what_there_is() -> None:
    """Two thousand facts folded long ago cost nothing; three new ones cost a few reads."""
    tables = CountingTables()
    await record(tables, some_facts(2000))
    await FactAggregation(tables).run(NOW)
    await record(tables, [fact(f"late-{n}") for n in range(3)])
    tables.reset()

    assert await FactAggregation(tables).run(NOW) == 3
    assert tables.rows_read <= 3 * 2 + 4
    assert tables.operations.total() <= 8 * 2 + 3 * 5


async def test_short_pages_are_no_end() -> None:
    """An empty page that says there is more is neither the end nor a reason to go round for ever."""
    tables = ShortPageTables()
    facts = some_facts(25)
    await record(tables, facts)

    assert await asyncio.wait_for(FactAggregation(tables).run(NOW), QUIET_S) == 25
    assert await folded_sums(tables) == expected(facts)


async def test_workspaces_are_summed_apart(tables: MemoryTables) -> None:
    """One workspace's name may be the beginning of another's."""
    facts = [fact("run-1"), fact("run-2", workspace="default-2"), fact("run-3", workspace="a")]
    await record(tables, facts)
    unfolded = await FactSums(tables).costs(DAY, "default")
    await FactAggregation(tables).run(NOW)

    assert unfolded == expected(facts[:1])
    assert await folded_sums(tables, "default") == expected(facts[:1])
    assert await folded_sums(tables) == expected(facts)
