"""The ledger: each call once, found by its run, unchanged by repetition."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Span, every
from llmops.spend.ledger import SHARDS, Ledger, days, partition, shard
from tests.lifecycle.doubles import NOW, CountingTables, Fate, FatefulTables
from tests.llmops.conftest import line


async def everything(tables: MemoryTables) -> list[str]:
    return [row.key async for row in every(tables, "ledger", Span("0", partition_before=":"))]


async def test_a_line_is_read_as_it_was_written(tables: MemoryTables) -> None:
    """Every field but who asked, also where the price is not known."""
    ledger = Ledger(tables)
    lines = [line(call=1), line(call=2, cost_micro_usd=None, rate="", user_id="", at=NOW + timedelta(seconds=1))]
    for each in reversed(lines):
        await ledger.record(each)

    assert await ledger.lines("default", "run-1", NOW.date(), NOW.date()) == [
        replace(each, user_id="") for each in lines
    ]


async def test_writing_a_line_again_changes_nothing(tables: MemoryTables) -> None:
    """The key is the call's, so a repetition finds it taken."""
    ledger = Ledger(tables)
    for _ in range(3):
        await ledger.record(line())

    assert len(await everything(tables)) == 1


async def test_a_line_whose_answer_was_lost_is_one_line(tables: MemoryTables) -> None:
    """The write took place, the caller does not know, and writes it again."""
    with pytest.raises(Unavailable):
        await Ledger(FatefulTables(tables, Fate(1, after=True, error=Unavailable))).record(line())
    await Ledger(tables).record(line())

    assert len(await everything(tables)) == 1


async def test_lines_are_found_across_days_in_order(tables: MemoryTables) -> None:
    """A run whose attempts lie on both sides of midnight."""
    ledger = Ledger(tables)
    for attempt, offset in ((1, 0), (2, 1), (10, 2)):
        for call in (1, 2):
            await ledger.record(line(attempt=attempt, call=call, at=NOW + timedelta(days=offset)))
    await ledger.record(line("run-2"))
    await ledger.record(line("run-1", workspace="team"))
    found = await ledger.lines("default", "run-1", NOW.date(), NOW.date() + timedelta(days=2))

    assert [(each.attempt, each.call) for each in found] == [(1, 1), (1, 2), (2, 1), (2, 2), (10, 1), (10, 2)]


async def test_a_runs_lines_are_read_without_the_others() -> None:
    """One query per day, however many runs there are."""
    tables = CountingTables()
    ledger = Ledger(tables)
    for number in range(200):
        await ledger.record(line(f"run-{number}"))
    tables.reset()
    await ledger.lines("default", "run-7", NOW.date(), NOW.date())

    assert (tables.operations.total(), tables.rows_read) == (1, 1)


async def test_a_naive_time_is_refused(tables: MemoryTables) -> None:
    """It would be in an unknown day."""
    with pytest.raises(ValueError, match="zone"):
        await Ledger(tables).record(line(at=NOW.replace(tzinfo=None)))


async def test_a_cost_is_a_whole_number(tables: MemoryTables) -> None:
    """Money is stored as an integer of micro-dollars, never a float."""
    await Ledger(tables).record(line(cost_micro_usd=10**15))
    rows = [row async for row in every(tables, "ledger", Span(partition(NOW.date(), shard("run-1"))))]

    assert {type(row.values["cost_micro_usd"]) for row in rows} == {int}


@given(st.lists(st.uuids(), min_size=200, max_size=200, unique=True))
def test_runs_are_spread_over_the_shards(runs: list[object]) -> None:
    """No shard is empty, none has most of them; the same run is always in the same one."""
    counts = [0] * SHARDS
    for run in runs:
        assert shard(str(run)) == shard(str(run))
        counts[shard(str(run))] += 1

    assert max(counts) < 80


def test_days_include_both_ends() -> None:
    """And are none when they are in the wrong order."""
    today = NOW.date()

    assert list(days(today, today)) == [today]
    assert len(list(days(today - timedelta(days=2), today))) == 3
    assert list(days(today, today - timedelta(days=1))) == []


async def test_lines_written_at_once_are_all_there(tables: MemoryTables) -> None:
    """Many workers write side by side."""
    ledger = Ledger(tables)
    await asyncio.gather(*(ledger.record(replace(line(), run_id=f"run-{n % 20}", call=n)) for n in range(100)))

    assert len(await everything(tables)) == 100
