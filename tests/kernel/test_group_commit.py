"""What is committed together: fewer transactions, and each caller's own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.group_commit import Group, GroupCommit, GroupInserts, Request
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
    """A hundred callers with two rows each: fifty in each transaction of 100 rows."""
    tables = Counting()
    inserts = GroupInserts(tables, TABLE)

    await asyncio.gather(*(inserts.insert("day", [_row(2 * n), _row(2 * n + 1)]) for n in range(100)))

    assert len(await _keys(tables)) == 200
    assert tables.commits == 2


async def test_one_that_is_there_already_keeps_no_other_from_being_inserted() -> None:
    """Its caller is told, and nobody else."""
    tables = Counting()
    inserts = GroupInserts(tables, TABLE)
    await inserts.insert("day", [_row(3)])

    told = await asyncio.gather(*(inserts.insert("day", [_row(n)]) for n in range(6)), return_exceptions=True)

    assert [type(each) for each in told] == [type(None)] * 3 + [RowExists] + [type(None)] * 2
    assert len(await _keys(tables)) == 6


async def test_an_answer_that_is_lost_is_told_to_each_as_a_row_that_exists() -> None:
    """Whoever gets it looks whether it is its own doing."""
    tables = Counting()
    inserts = GroupInserts(tables, TABLE)
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
    inserts = GroupInserts(tables, TABLE)
    told = await asyncio.gather(*(inserts.insert("day", [_row(n)]) for n in range(4)), return_exceptions=True)
    tables.down = False
    await inserts.insert("day", [_row(9)])

    assert all(isinstance(each, Unavailable) for each in told)
    assert await _keys(tables) == ["fact!009"]


@pytest.mark.parametrize("stopped", range(4))
async def test_a_caller_that_is_stopped_leaves_the_others_to_themselves(stopped: int) -> None:
    """Whether it leads or follows."""
    tables = Counting()
    inserts = GroupInserts(tables, TABLE)
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
    inserts = GroupInserts(tables, TABLE)

    told = await asyncio.gather(*(inserts.insert("day", [_row(1)]) for _ in range(3)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in told) == ["NoneType", "RowExists", "RowExists"]


async def test_much_text_goes_in_more_transactions() -> None:
    """A shared one stays far below the service's limit."""
    tables = Counting()
    inserts = GroupInserts(tables, TABLE)

    await asyncio.gather(*(inserts.insert("day", [_row(n, "x" * 300_000)]) for n in range(5)))

    assert tables.commits == 5
    assert len(await _keys(tables)) == 5


@dataclass(slots=True, eq=False)
class Step(Request):
    number: int
    fails: bool


class Refused(Exception):
    """One of the batch cannot be committed."""


@dataclass(frozen=True)
class Plan:
    """A caller: of which key, how many turns of the loop after the one before, refused or not, cancelled when."""

    key: str
    after: int
    fails: bool
    cancelled: int | None


PLANS = st.lists(
    st.builds(
        Plan,
        st.sampled_from("ab"),
        st.integers(0, 3),
        st.booleans(),
        st.none() | st.integers(0, 6),
    ),
    max_size=12,
)


@given(PLANS, st.integers(1, 4), st.booleans())
async def test_each_change_is_made_once_in_order_and_nobody_waits_for_ever(
    plans: list[Plan], size: int, apart: bool
) -> None:
    """Whoever comes when, is refused, or is cancelled: changes of a key never overlap, and none is left behind."""
    made: dict[str, list[int]] = {"a": [], "b": []}
    busy: set[str] = set()
    largest = 0

    async def commit(group: Group[str, Step], batch: Sequence[Step]) -> None:
        nonlocal largest
        largest = max(largest, len(batch))
        assert group.key not in busy
        busy.add(group.key)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if any(each.fails for each in batch):
                raise Refused
            made[group.key] += [each.number for each in batch]  # nothing of it, or all
            for each in batch:
                each.finish()
        finally:
            busy.discard(group.key)

    commits = GroupCommit[str, Step](lambda waiting: waiting[:size], commit, single=(Refused,) if apart else ())
    tasks: list[asyncio.Task[None]] = []

    async def call(number: int, plan: Plan) -> None:
        await commits.make(plan.key, Step(number, plan.fails))

    async def cancel(task: asyncio.Task[None], turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    stops: list[asyncio.Task[None]] = []
    for number, plan in enumerate(plans):
        for _ in range(plan.after):
            await asyncio.sleep(0)
        tasks.append(asyncio.create_task(call(number, plan)))
        if plan.cancelled is not None:
            stops.append(asyncio.create_task(cancel(tasks[-1], plan.cancelled)))
    async with asyncio.timeout(10):
        results = await asyncio.gather(*tasks, *stops, return_exceptions=True)

    assert largest <= size
    for key, numbers in made.items():
        assert numbers == sorted(set(numbers)), "once each, in the order of the calls"
        succeeded = [n for n, plan in enumerate(plans) if plan.key == key and results[n] is None]
        assert set(succeeded) <= set(numbers)
    for number, plan in enumerate(plans):
        result = results[number]
        if result is None:
            assert not plan.fails
        elif apart and not plan.fails:
            assert isinstance(result, asyncio.CancelledError), "no one is refused because of another"
            assert plan.cancelled is not None
        else:
            assert isinstance(result, Refused | asyncio.CancelledError)
    assert not commits._groups, "nothing is kept of what is done"
