"""Folding new rows into sums costs what is new."""

from __future__ import annotations

from collections.abc import Sequence

from kernel.aggregation import NEW, Sums, aggregate
from kernel.tables import MAX_WRITES, Insert, Row, Write
from tests.lifecycle.doubles import CountingTables

SUMS: Sums[int] = Sums(
    "ledger",
    parts=lambda row: [(row.text("sum"), row.integer("amount"))],
    load=lambda row: row.integer("amount"),
    dump=lambda amount: {"amount": amount},
    add=lambda first, second: first + second,
)


class CheckedTables(CountingTables):
    """Notes how large commits are."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        self.sizes.append(len(writes))
        return await super().commit(table, writes)


async def fill(tables: CheckedTables, count: int, groups: int) -> None:
    for number in range(count):
        values = {"sum": f"sum!{number % groups:04d}", "amount": number}
        await tables.commit("ledger", [Insert(Row("p", f"{NEW}{number:06d}", values))])
    tables.reset()
    tables.sizes.clear()


async def total(tables: CheckedTables, groups: int) -> int:
    rows = [await tables.get("ledger", "p", f"sum!{number:04d}") for number in range(groups)]
    return sum(row.integer("amount") for row in rows if row)


async def test_every_sum_is_read_once_however_many_rows_are_added() -> None:
    tables = CheckedTables()
    await fill(tables, 2500, 7)

    assert await aggregate(tables, SUMS, "p") == 2500
    assert tables.operations["get ledger"] == 7
    assert max(tables.sizes) <= MAX_WRITES
    assert len(tables.sizes) == 27 + 1  # 93 rows and 7 sums a transaction; a thousand rows at a time
    assert await total(tables, 7) == sum(range(2500))


async def test_where_every_row_has_its_own_sum_it_still_fits() -> None:
    tables = CheckedTables()
    await fill(tables, 130, 130)

    assert await aggregate(tables, SUMS, "p") == 130
    assert max(tables.sizes) == MAX_WRITES
    assert await total(tables, 130) == sum(range(130))


async def test_nothing_new_is_one_look() -> None:
    tables = CheckedTables()

    assert await aggregate(tables, SUMS, "p") == 0
    assert (tables.operations, tables.sizes) == ({"query ledger": 1}, [])
