"""Turns at a workspace's counters: who commits without a break lets those who wait go first."""

from __future__ import annotations

import asyncio

from adapters.memory_tables import MemoryTables
from llmops.budgets.counter_turns import Turns
from tests.lifecycle.doubles import ManualClock


async def test_who_commits_without_a_break_gives_way_to_who_waits() -> None:
    """Until that one has committed; whoever commits now and then does not look."""
    tables, clock = MemoryTables(), ManualClock()
    busy, now_and_then, waiting = (Turns(tables, "budgets", "w", clock) for _ in range(3))
    await waiting.wait()
    clock.move(seconds=0.5)
    await now_and_then.done()
    seldom = await now_and_then.given_way()
    for _ in range(20):
        await busy.done()
    giving = asyncio.create_task(busy.given_way())
    await asyncio.wait({giving}, timeout=0.2)
    gives_way = not giving.done()
    await waiting.done()

    assert (seldom, gives_way) == (False, True)
    assert await giving
