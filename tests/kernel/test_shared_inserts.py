"""Rows that are inserted together: fewer transactions, and each caller's own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.shared_inserts import SharedInserts
from kernel.tables import Row, RowExists, Span, Tables, Write, every

TABLE = "facts"


class Counting(MemoryTables):
    """Tables that count commits, take their time, and can lose the answer of some."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.lose = 0

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        self.commits += 1
        await asyncio.sleep(0)
        etags = await super().commit(table, writes)
        if self.lose:
            self.lose -= 1
            await super().commit(table, writes)  # what a client repeats whose answer was lost
        return etags


def _row(number: int, value: str = "") -> Row:
    return Row("day", f"fact!{number:03d}", {"n": number, "value": value})


async def _keys(tables: Tables) -> list[str]:
    return [row.key async for row in every(tables, TABLE, Span("day"))]


async def test_what_comes_while_one_is_written_shares_the_next_transaction() -> None:
    """A hundred callers with two rows each: the first alone, then fifty in each transaction of 100 rows."""
    tables = Counting()
    inserts = SharedInserts(tables, TABLE)

    await asyncio.gather(*(inserts.insert("day", [_row(2 * n), _row(2 * n + 1)]) for n in range(100)))

    assert len(await _keys(tables)) == 200
    assert tables.commits == 3


async def test_one_that_is_there_already_keeps_no_other_from_being_inserted() -> None:
    """Its caller is told, and nobody else."""
    tables = Counting()
    inserts = SharedInserts(tables, TABLE)
    await inserts.insert("day", [_row(3)])

    told = await asyncio.gather(*(inserts.insert("day", [_row(n)]) for n in range(6)), return_exceptions=True)

    assert [type(each) for each in told] == [type(None)] * 3 + [RowExists] + [type(None)] * 2
    assert len(await _keys(tables)) == 6


async def test_an_answer_that_is_lost_is_told_to_each_as_a_row_that_exists() -> None:
    """Whoever gets it looks whether it is its own doing."""
    tables = Counting()
    inserts = SharedInserts(tables, TABLE)
    tables.lose = 2

    told = await asyncio.gather(*(inserts.insert("day", [_row(n)]) for n in range(3)), return_exceptions=True)

    assert all(isinstance(each, RowExists) for each in told)
    assert len(await _keys(tables)) == 3


async def test_storage_that_is_down_is_told_to_everyone() -> None:
    """And the next caller finds no trace of it."""

    class Down(MemoryTables):
        down = True

        async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
            await asyncio.sleep(0)
            if self.down:
                raise Unavailable
            return await super().commit(table, writes)

    tables = Down()
    inserts = SharedInserts(tables, TABLE)
    told = await asyncio.gather(*(inserts.insert("day", [_row(n)]) for n in range(4)), return_exceptions=True)
    tables.down = False
    await inserts.insert("day", [_row(9)])

    assert all(isinstance(each, Unavailable) for each in told)
    assert await _keys(tables) == ["fact!009"]


@pytest.mark.parametrize("stopped", range(4))
async def test_a_caller_that_is_stopped_leaves_the_others_to_themselves(stopped: int) -> None:
    """Whether it leads or follows."""
    tables = Counting()
    inserts = SharedInserts(tables, TABLE)
    tasks = [asyncio.create_task(inserts.insert("day", [_row(n)])) for n in range(4)]
    await asyncio.sleep(0)
    tasks[stopped].cancel()

    told = await asyncio.gather(*tasks, return_exceptions=True)

    others = [each for n, each in enumerate(told) if n != stopped]
    assert all(each is None or isinstance(each, RowExists) for each in others)
    assert set(await _keys(tables)) >= {f"fact!{n:03d}" for n in range(4) if n != stopped}


async def test_the_same_rows_at_the_same_time_are_inserted_once() -> None:
    """The second caller is told that they are there."""
    tables = Counting()
    inserts = SharedInserts(tables, TABLE)

    told = await asyncio.gather(*(inserts.insert("day", [_row(1)]) for _ in range(3)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in told) == ["NoneType", "RowExists", "RowExists"]


async def test_much_text_goes_in_more_transactions() -> None:
    """A shared one stays far below the service's limit."""
    tables = Counting()
    inserts = SharedInserts(tables, TABLE)

    await asyncio.gather(*(inserts.insert("day", [_row(n, "x" * 300_000)]) for n in range(5)))

    assert tables.commits == 5
    assert len(await _keys(tables)) == 5
