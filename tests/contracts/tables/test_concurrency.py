"""What holds when many callers write at once."""

from __future__ import annotations

import asyncio

from kernel.tables import Insert, Replace, Row, RowChanged, RowExists, Span, Tables, every

CALLERS = 32


async def test_no_increment_is_lost(tables: Tables, table: str) -> None:
    """32 callers that each add one, and read again when somebody was faster, add 32."""
    await tables.commit(table, [Insert(Row("p", "counter", {"n": 0}))])

    async def increment() -> int:
        for attempt in range(10 * CALLERS):
            found = await tables.get(table, "p", "counter")
            assert found is not None
            values = {"n": found.integer("n") + 1}
            try:
                await tables.commit(table, [Replace(Row("p", "counter", values, found.etag))])
            except RowChanged:
                continue
            return attempt
        raise AssertionError

    attempts = await asyncio.gather(*(increment() for _ in range(CALLERS)))
    found = await tables.get(table, "p", "counter")

    assert found is not None
    assert found.integer("n") == CALLERS
    assert sum(attempts) > 0, "the callers never met, which tests nothing"


async def test_one_of_many_inserts_wins(tables: Tables, table: str) -> None:
    """The first commit of a table too: many callers can find it missing at once."""
    outcomes = await asyncio.gather(
        *(tables.commit(table, [Insert(Row("p", "one", {"n": n}))]) for n in range(CALLERS)), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RowExists"] * (CALLERS - 1) + ["list"]


async def test_of_overlapping_commits_each_takes_place_whole_or_not_at_all(tables: Tables, table: str) -> None:
    """Neighbours share a row, so that of each two at most one succeeds."""

    async def claim(n: int) -> bool:
        try:
            await tables.commit(table, [Insert(Row("p", f"{at:02}", {"by": n})) for at in (n, n + 1)])
        except RowExists:
            return False
        return True

    claimed = await asyncio.gather(*map(claim, range(CALLERS)))
    owners = [row.integer("by") async for row in every(tables, table, Span("p"))]

    assert sorted(owners) == sorted([n for n, won in enumerate(claimed) if won] * 2)


async def test_a_table_is_created_once_for_all_its_first_writers(tables: Tables, table: str) -> None:
    """Every one of the first writes is there."""
    await asyncio.gather(
        *(
            tables.commit(table, [Insert(Row(str(n), key, {})) for key in (("a", "b") if n % 2 else ("a",))])
            for n in range(CALLERS)
        )
    )
    found = await tables.query(table, Span("", partition_before="~"))

    assert len(found.rows) == CALLERS * 3 // 2
