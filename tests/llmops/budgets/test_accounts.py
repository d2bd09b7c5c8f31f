"""Reservations: all counters or none, never above a limit, however many workers there are and wherever they die."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from datetime import timedelta

import pytest

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Row, Tables, Write
from llmops.budgets.budget_rules import Amounts, AppliedLimit, Limit
from llmops.budgets.counters import BudgetCounters
from llmops.budgets.reservations import Reservation, ReservationRequest, ReservationResult, Settlement
from tests.lifecycle.doubles import NOW, CountingTables, Crash, Fate, FatefulTables, ManualClock
from tests.llmops.conftest import intent
from tests.virtual_time import VirtualLoop, run_virtually

CLOCK = ManualClock()
UNTIL = NOW + timedelta(minutes=11)


def limit(amount: int, counter: str = "workspace!total", unit: str = "tokens") -> AppliedLimit:
    return AppliedLimit("workspace", Limit(unit, "total", amount), counter, None)  # pyright: ignore[reportArgumentType]


def ask(run: str, tokens: int, limits: Sequence[AppliedLimit], call: int = 1) -> ReservationRequest:
    return ReservationRequest(intent(run, call=call), Amounts(1, tokens, tokens * 10), limits, UNTIL)


def granted(outcome: ReservationResult) -> Reservation:
    assert outcome.hold is not None
    return outcome.hold


async def total(tables: Tables, key: str = "workspace!total") -> tuple[int, int]:
    counter = (await BudgetCounters(tables, CLOCK).counters("default", [key]))[key]
    return counter.spent.tokens, counter.reserved.tokens


async def test_what_is_reserved_counts_until_it_is_settled() -> None:
    """A second call finds less room; what the first leaves of its reservation is room again."""
    tables = MemoryTables()
    accounts = BudgetCounters(tables, CLOCK)
    limits = [limit(100)]
    first = granted(await accounts.change("default", None, ask("a", 60, limits)))
    refused = await accounts.change("default", None, ask("b", 60, limits))
    assert (refused.hold, refused.refusals[0].full) == (None, False)
    assert await total(tables) == (0, 60)

    outcome = await accounts.change("default", Settlement(first, Amounts(1, 30)), ask("b", 60, limits))
    assert granted(outcome).amounts.tokens == 60
    assert await total(tables) == (30, 60)
    full = await accounts.change("default", None, ask("c", 71, limits))
    assert full.refusals[0].full


async def test_every_counter_or_none() -> None:
    """One limit without room leaves all others as they were."""
    tables = MemoryTables()
    accounts = BudgetCounters(tables, CLOCK)
    limits = [limit(1000), limit(10, "run:a")]
    outcome = await accounts.change("default", None, ask("a", 20, limits))

    assert [refusal.limit for refusal in outcome.refusals] == [10]
    assert await total(tables) == await total(tables, "run:a") == (0, 0)
    assert [hold async for hold in accounts.reservations("default")] == []


async def test_settling_twice_counts_once() -> None:
    """Whoever frees an expired reservation, and the call's own worker, may both come."""
    tables = MemoryTables()
    one, other = BudgetCounters(tables, CLOCK), BudgetCounters(tables, CLOCK)
    hold = granted(await one.change("default", None, ask("a", 60, [limit(100)])))
    for accounts in (one, other, one):
        await accounts.change("default", Settlement(hold, Amounts(1, 25)), None)

    assert await total(tables) == (25, 0)


async def test_what_one_process_wants_at_once_is_one_write() -> None:
    """64 calls side by side do not collide with each other."""
    tables = CountingTables()
    accounts = BudgetCounters(tables, CLOCK)
    outcomes = await asyncio.gather(
        *(accounts.change("default", None, ask(f"r{n}", 1, [limit(1000)])) for n in range(64))
    )

    assert all(outcome.hold for outcome in outcomes)
    assert tables.operations["commit budgets"] <= 3
    assert await total(tables) == (0, 64)


async def test_a_caller_that_is_cancelled_leaves_nothing_reserved() -> None:
    """At whatever moment: no call will be made, so none is charged."""
    for steps in range(12):
        tables = MemoryTables()
        accounts = BudgetCounters(tables, CLOCK)
        asking = asyncio.create_task(accounts.change("default", None, ask("a", 60, [limit(100)])))
        for _ in range(steps):
            await asyncio.sleep(0)
        if asking.done():
            return
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        for _ in range(50):
            await asyncio.sleep(0)
        assert await total(tables) == (0, 0)
    pytest.fail("it was never done")


@pytest.mark.parametrize("after", [False, True], ids=["refused", "in doubt"])
async def test_a_write_in_doubt_counts_once(after: bool) -> None:
    """The caller does not know whether it took place, and settles again."""
    for number in itertools.count(1):
        tables = MemoryTables()
        fate = Fate(number, after, Unavailable)
        accounts = BudgetCounters(FatefulTables(tables, fate), CLOCK)
        try:
            hold = granted(await accounts.change("default", None, ask("a", 60, [limit(100)])))
        except Unavailable:
            continue
        for _ in range(3):
            try:
                await accounts.change("default", Settlement(hold, Amounts(1, 25)), None)
            except Unavailable:
                continue
            break
        assert await total(tables) == (25, 0)
        if not fate.struck:
            return


async def spend(tables: Tables, worker: int, cap: int, seed: int) -> int:
    """Make calls until the budget is full; die at some write, now and then. Return what was spent for real."""
    spent, refused, dice = 0, 0, random.Random(seed * 1000 + worker)
    for attempt in itertools.count(1):
        fate = Fate(dice.randrange(1, 60), dice.random() < 0.5)
        accounts = BudgetCounters(FatefulTables(tables, fate), CLOCK)
        hold: Reservation | None = None
        lost = attempt > 1
        try:
            for call in itertools.count(1):
                wanted = ReservationRequest(
                    intent(f"run-{worker}", attempt=attempt, call=call), Amounts(1, 50, 500), [limit(cap)], UNTIL
                )
                outcome = await accounts.change("default", None, wanted)
                if outcome.hold is None:
                    if outcome.refusals[0].full:
                        return spent
                    if lost:  # what its earlier attempts have reserved
                        await settle_all(tables, f"run-{worker}", attempt)
                        lost = False
                    await asyncio.sleep(0)
                    if (refused := refused + 1) > 40:  # what is left is less than a call reserves
                        return spent
                    continue
                hold = outcome.hold
                used = dice.randrange(5, 51)
                spent += used  # the call is made; whatever comes after it, this is spent
                await accounts.change("default", Settlement(hold, Amounts(1, used, used * 10)), None)
                hold = None
        except (Crash, Unavailable):
            await asyncio.sleep(0)
    raise AssertionError


async def settle_all(tables: Tables, run_id: str, attempt: int) -> None:
    """Settle in full what a run has reserved before an attempt."""
    accounts = BudgetCounters(tables, CLOCK)
    for left in [each async for each in accounts.reservations("default")]:
        if left.intent.who.run_id == run_id and left.intent.attempt < attempt:
            await accounts.change("default", Settlement(left, left.amounts), None)


def test_64_workers_that_die_never_spend_more_than_the_cap() -> None:
    """Each is a process of its own with its own picture of the counters; what is really spent stays below the cap."""
    tables, cap = MemoryTables(), 10_000

    async def together(_: VirtualLoop) -> tuple[int, tuple[int, int]]:
        spent = sum(await asyncio.gather(*(spend(tables, worker, cap, 0) for worker in range(64))))
        return spent, await total(tables)

    spent, (counted, reserved) = run_virtually(together)

    assert spent <= cap
    assert counted + reserved <= cap
    assert counted + reserved > cap - 64 * 50, "and it is not far below it either"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_write_whose_answer_was_lost_is_looked_up(after: bool) -> None:
    """Reserved once and settled once; nothing is left of it that would be charged although no call was made."""
    tables = MemoryTables()
    accounts = BudgetCounters(FatefulTables(tables, Fate(1, after, Unavailable)), CLOCK)
    hold = granted(await accounts.change("default", None, ask("run-1", 40, [limit(100)])))
    settling = BudgetCounters(FatefulTables(tables, Fate(1, after, Unavailable)), CLOCK)
    await settling.change("default", Settlement(hold, Amounts(1, 10, 100)), None)

    assert await total(tables) == (10, 0)
    assert [each async for each in accounts.reservations("default")] == []


async def test_counters_that_nobody_uses_are_forgotten() -> None:
    """But not one that holds a reservation, nor one that counts for ever."""
    tables = MemoryTables()
    clock = ManualClock()
    accounts = BudgetCounters(tables, clock)
    for run, counter in (("a", "run:a"), ("b", "run:b"), ("c", "agent:bot!total")):
        hold = granted(await accounts.change("default", None, ask(run, 5, [limit(100, counter)])))
        if run != "b":
            await accounts.change("default", Settlement(hold, Amounts(1, 5)), None)

    assert await accounts.forget("default", clock.now + timedelta(days=1)) == 1
    assert await total(tables, "run:a") == (0, 0)
    assert await total(tables, "run:b") == (0, 5)
    assert await total(tables, "agent:bot!total") == (5, 0)


async def test_two_callers_that_free_one_reservation_at_once() -> None:
    """It is settled once, and what others want of the same transaction comes about."""
    tables = MemoryTables()
    accounts = BudgetCounters(tables, CLOCK)
    hold = granted(await accounts.change("default", None, ask("a", 60, [limit(100)])))
    freed = Settlement(hold, Amounts(1, 25))
    outcomes = await asyncio.gather(
        accounts.change("default", freed, None),
        accounts.change("default", freed, None),
        accounts.change("default", None, ask("b", 40, [limit(100)])),
    )

    assert granted(outcomes[2]).amounts.tokens == 40
    assert await total(tables) == (25, 40)


class DistantTables(MemoryTables):
    """Tables whose every request takes a moment, so that those of several processes overlap."""

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        await asyncio.sleep(0.001)
        return await super().get(table, partition, key)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        await asyncio.sleep(0.001)
        return await super().commit(table, writes)


async def test_no_process_keeps_another_from_the_counters() -> None:
    """Both commit one transaction after the other; each gets as far as the other can wait for."""
    tables = DistantTables()
    done = [0, 0]

    async def caller(process: int, accounts: BudgetCounters, number: int) -> None:
        for call in itertools.count(1):
            wanted = ask(f"run-{process}-{number}", 1, [limit(10**9)], call)
            hold = granted(await accounts.change("default", None, wanted))
            await accounts.change("default", Settlement(hold, Amounts(1, 1)), None)
            done[process] += 1

    callers: list[asyncio.Task[None]] = []
    for process in range(2):
        accounts = BudgetCounters(tables, CLOCK)
        callers += [asyncio.create_task(caller(process, accounts, number)) for number in range(8)]
    try:
        while min(done) < 32:
            assert max(done) < 32_000, f"one process made {max(done)} calls, the other {min(done)}"
            await asyncio.sleep(0.01)
    finally:
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
