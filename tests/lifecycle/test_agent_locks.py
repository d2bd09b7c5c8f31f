"""Actors of several processes over one storage: one at a time is at an agent, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Row, Span, every
from lifecycle.registry import actor_signals
from lifecycle.registry.actor_signals import LASTS, AgentLocks
from tests.lifecycle.doubles import Crash, Fate, FatefulTables, ManualClock
from tests.waiting import eventually


async def locks_left(tables: MemoryTables) -> int:
    return len([row async for row in every(tables, "agents", Span.prefix("default", "!lock!"))])


async def test_one_at_a_time_holds_a_lock_and_nothing_is_left_of_it() -> None:
    """Eight callers that each look, wait and add one add eight; other agents are not kept waiting."""
    tables, clock = MemoryTables(), ManualClock()
    count, inside = 0, 0

    async def add() -> None:
        nonlocal count, inside
        async with AgentLocks(tables, clock).hold("default", "bot"):
            inside += 1
            assert inside == 1
            seen = count
            await asyncio.sleep(0)
            count = seen + 1
            inside -= 1

    async with AgentLocks(tables, clock).hold("default", "other"):
        await asyncio.gather(*(add() for _ in range(8)))

    assert count == 8
    assert await locks_left(tables) == 0


async def test_a_lock_is_released_when_the_work_fails() -> None:
    """And the failure reaches the caller."""
    tables = MemoryTables()
    with pytest.raises(ZeroDivisionError):
        async with AgentLocks(tables, ManualClock()).hold("default", "bot"):
            raise ZeroDivisionError

    assert await locks_left(tables) == 0


async def test_the_lock_of_a_process_that_died_runs_out() -> None:
    """Not before its time; whoever waits has it then, and the dead one's release takes nothing from it."""
    tables, clock = MemoryTables(), ManualClock()
    dead = AgentLocks(tables, clock).hold("default", "bot")
    await dead.__aenter__()
    entered = asyncio.Event()

    async def wait() -> None:
        async with AgentLocks(tables, clock).hold("default", "bot"):
            entered.set()
            await asyncio.sleep(0.2)
            assert await locks_left(tables) == 1

    waiting = asyncio.create_task(wait())
    clock.move(seconds=(LASTS - timedelta(seconds=1)).total_seconds())
    await asyncio.sleep(0.1)
    too_early = entered.is_set()
    clock.move(seconds=2)
    await eventually(entered.is_set)
    await dead.__aexit__(None, None, None)
    await waiting

    assert not too_early
    assert await locks_left(tables) == 0


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("after", [False, True])
async def test_a_lost_answer_locks_nobody_out(at: int, *, after: bool) -> None:
    """Whichever write it was of, and whether it took effect: the next one has the lock, at once or when it ran out."""
    tables, clock = MemoryTables(), ManualClock()
    fate = Fate(at, after=after)
    locks = AgentLocks(FatefulTables(tables, fate), clock)
    try:
        async with locks.hold("default", "bot"):
            pass
    except (Unavailable, Crash):
        pass
    clock.move(seconds=LASTS.total_seconds() + 1)
    async with AgentLocks(tables, clock).hold("default", "bot"):
        held = await locks_left(tables)

    assert held == 1
    assert await locks_left(tables) == 0


class _Failing(MemoryTables):
    """Tables that cannot be read once, when asked to."""

    failing = False

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        if self.failing:
            self.failing = False
            raise Unavailable
        return await super().get(table, partition, key)


async def test_a_lock_is_renewed_after_the_storage_could_not_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else another process would have the agent created a second time, however long the first still takes."""
    monkeypatch.setattr(actor_signals, "LASTS", timedelta(seconds=0.06))
    tables, clock = _Failing(), ManualClock()

    async def until() -> datetime | None:
        row = await tables.get("agents", "default", "!lock!bot")
        return row.moment("until") if row else None

    async with AgentLocks(tables, clock).hold("default", "bot"):
        tables.failing = True
        await eventually(lambda: not tables.failing)
        clock.move(seconds=1)
        expected = clock.now + timedelta(seconds=0.06)
        async with asyncio.timeout(5):
            while await until() != expected:  # noqa: ASYNC110 - of a renewal there is no event
                await asyncio.sleep(0.01)
