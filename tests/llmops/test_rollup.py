"""Adding lines to sums: each once, whatever crashes and whoever else is at it, reading only what is new."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from llmops.spend.rollup import Group, Rollup, add_up, group_of

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Span, every
from llmops.spend.ledger import Ledger, Line
from llmops.spend.usage import Spend
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, FatefulTables, ShortPageTables
from tests.llmops.conftest import line

DAY = NOW.date()


def expected(lines: Sequence[Line]) -> dict[Group, Spend]:
    return add_up((group_of(each), each.spend) for each in lines)


def some_lines(count: int, groups: int = 3) -> list[Line]:
    return [
        line(f"run-{n}", model=f"model-{n % groups}", cost_micro_usd=None if n % 7 == 0 else n) for n in range(count)
    ]


async def record(tables: MemoryTables, lines: Sequence[Line]) -> None:
    for each in lines:
        await Ledger(tables).record(each)


async def new_rows(tables: MemoryTables) -> int:
    rows = every(tables, "ledger", Span("0", partition_before=":"))
    return len([row async for row in rows if row.key.startswith("new!")])


async def test_lines_are_added_once(tables: MemoryTables) -> None:
    """Folding again finds nothing to add."""
    lines = some_lines(40)
    await record(tables, lines)
    rollup = Rollup(tables)
    folded = [await rollup.fold(DAY), await rollup.fold(DAY)]

    assert folded == [40, 0]
    assert await rollup.sums(DAY) == expected(lines)
    assert await new_rows(tables) == 0
    assert len(await Ledger(tables).lines("default", "run-5", DAY, DAY)) == 1, "the line itself is kept"


async def test_later_lines_are_added_to_the_sums(tables: MemoryTables) -> None:
    """A sum grows with every fold."""
    lines, rollup = some_lines(60), Rollup(tables)
    for start in range(0, 60, 20):
        await record(tables, lines[start : start + 20])
        await rollup.fold(DAY)

    assert await rollup.sums(DAY) == expected(lines)


async def test_more_lines_than_fit_in_a_transaction(tables: MemoryTables) -> None:
    """Hundreds of lines of one run's shard, in few and in many groups."""
    for groups in (1, 2, 50, 99, 120):
        fresh = MemoryTables()
        lines = [line("run-1", call=n, user_id=f"user{n % groups}") for n in range(300)]
        await record(fresh, lines)

        assert await Rollup(fresh).fold(DAY) == 300
        assert await Rollup(fresh).sums(DAY) == expected(lines)


async def test_dying_at_any_write_loses_and_doubles_nothing(tables: MemoryTables) -> None:
    """Before the transaction or after it, the next fold ends with the right sums."""
    lines = some_lines(30)
    for number in range(1, 9):
        for after in (False, True):
            for error in (Crash, Unavailable):
                fresh = MemoryTables()
                await record(fresh, lines)
                with contextlib.suppress(Crash, Unavailable):
                    await Rollup(FatefulTables(fresh, Fate(number, after, error))).fold(DAY)
                await Rollup(fresh).fold(DAY)

                assert await Rollup(fresh).sums(DAY) == expected(lines)


async def test_two_aggregators_at_once_add_each_line_once(tables: MemoryTables) -> None:
    """They collide, and the slower one starts over."""
    lines = some_lines(200)
    await record(tables, lines)
    folded = await asyncio.gather(*(Rollup(tables).fold(DAY) for _ in range(4)))

    assert sum(folded) == 200
    assert await Rollup(tables).sums(DAY) == expected(lines)


async def test_folding_while_lines_come_in(tables: MemoryTables) -> None:
    """Nothing of what is written meanwhile is lost or doubled."""
    lines = some_lines(150)

    async def fold() -> None:
        for _ in range(10):
            await Rollup(tables).fold(DAY)

    await asyncio.gather(record(tables, lines[:75]), record(tables, lines[75:]), fold(), fold())
    await Rollup(tables).fold(DAY)

    assert await Rollup(tables).sums(DAY) == expected(lines)


async def test_it_reads_what_is_new_and_not_what_there_is() -> None:
    """Two thousand lines folded long ago cost nothing; three new ones cost a few reads."""
    tables = CountingTables()
    await record(tables, some_lines(2000))
    await Rollup(tables).fold(DAY)
    await record(tables, [line(f"late-{n}") for n in range(3)])
    tables.reset()

    assert await Rollup(tables).fold(DAY) == 3
    assert tables.rows_read <= 3 * 2 + 3
    assert tables.operations.total() <= 8 * 2 + 3 * 3


async def test_short_pages_are_no_end() -> None:
    """An empty page that says there is more is neither the end nor a reason to go round for ever."""
    tables = ShortPageTables()
    lines = some_lines(25)
    await record(tables, lines)

    assert await asyncio.wait_for(Rollup(tables).fold(DAY), 5) == 25
    assert await Rollup(tables).sums(DAY) == expected(lines)


async def test_workspaces_are_summed_apart(tables: MemoryTables) -> None:
    """One workspace's name may be the beginning of another's."""
    lines = [line("run-1"), line("run-2", workspace="default-2"), line("run-3", workspace="a")]
    await record(tables, lines)
    rollup = Rollup(tables)
    unfolded = await rollup.unfolded(DAY, "default")
    await rollup.fold(DAY)

    assert unfolded == expected(lines[:1])
    assert await rollup.sums(DAY, "default") == expected(lines[:1])
    assert await rollup.sums(DAY) == expected(lines)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(0, 11), st.integers(1, 3)),
        st.tuples(st.just("fold"), st.just(0), st.just(0)),
        st.tuples(st.just("crash"), st.integers(1, 4), st.integers(0, 1)),
        st.tuples(st.just("both"), st.integers(1, 4), st.integers(0, 1)),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(steps=steps)
def test_in_any_order_the_sums_are_the_lines(steps: list[tuple[str, int, int]]) -> None:
    """Recording, recording again, folding, dying and folding side by side: sums and new lines are always all lines."""

    async def go() -> None:
        tables, recorded = MemoryTables(), {}
        for what, one, two in steps:
            if what == "record":
                each = line(f"run-{one}", call=two, user_id=f"user{one % 3}")
                recorded[one, two] = each
                await Ledger(tables).record(each)
            elif what == "fold":
                await Rollup(tables).fold(DAY)
            else:
                dying = Rollup(FatefulTables(tables, Fate(one, bool(two)))).fold(DAY)
                others = [Rollup(tables).fold(DAY)] if what == "both" else []
                await asyncio.gather(dying, *others, return_exceptions=True)
            folded, new = await Rollup(tables).sums(DAY), await Rollup(tables).unfolded(DAY, "default")
            assert add_up([*folded.items(), *new.items()]) == expected(list(recorded.values()))

    asyncio.run(go())
