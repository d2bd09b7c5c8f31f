"""64 workers at one limit, each with a clock of its own, over a store that fails; some die."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass

import pytest

from llmops.capacity.pools import Amounts, Limits, Pool, PoolFull, Share
from tests.llmops.capacity.workers import Record, SlowTables, Worker, store_of
from tests.virtual_time import VirtualLoop, run_virtually

WORKERS = 64
_STARTED_S = 10
"""From then on writes are counted: all workers begin in the same moment, which they do not else."""


@dataclass
class Outcome:
    """What came of a time under full demand."""

    record: Record
    running: list[int]
    writes: int
    workers: int


def under_full_demand(
    limits: Limits, seconds: int, *, dying: float = 0.0, failing: float = 0.0, reserve: float = 0.0
) -> Outcome:
    """Have each of 64 workers want more than there is, and every second a part of them die and be replaced.

    Where there is a reserve, it is lent, and once all of it is, its owner has a run a second, of five seconds.
    """

    async def main(loop: VirtualLoop) -> Outcome:
        random.seed(7)  # what spreads requests
        chance = random.Random(7)
        tables, record = SlowTables(chance, failing), Record()
        shares = {"vip": Share(reserve)} if reserve else {}
        pool = Pool("p", agents=("bot", "vip"), limits=limits, shares=shares, strategy="aggressive")
        store = await store_of(loop, tables, pool)

        def another(number: int) -> Worker:
            return Worker(loop, store, pool, f"w{number}", record, skew=chance.uniform(-0.5, 0.5))

        workers, running, count = [another(number) for number in range(WORKERS)], [], WORKERS
        for second in range(seconds):
            if second == _STARTED_S:
                tables.counts.clear()
            for place, worker in enumerate(workers):
                while len(worker.tasks) < 6:
                    worker.start("bot", [chance.choice((100, 200, 400))] * 4, chance.uniform(2, 4), really=0.9)
                if chance.random() < dying:
                    worker.die()
                    workers[place], count = another(count), count + 1
            if reserve and second > _STARTED_S:
                chance.choice(workers).start("vip", [1], 5)
            await asyncio.sleep(1)
            running.append(record.running)
        for worker in workers:
            worker.die()
        await asyncio.sleep(0)
        return Outcome(record, running, tables.counts["commit pools"], count)

    logging.getLogger("llmops.capacity.worker_slice").setLevel(logging.ERROR)
    return run_virtually(main)


def test_tokens_and_requests_of_no_minute_are_above_the_limit() -> None:
    """And above 90 % of it are used, at less than a write a second for each worker."""
    found = under_full_demand(Limits(tokens_per_minute=60_000), 64, dying=0.002, failing=0.005)

    assert found.workers > WORKERS
    assert 0.9 * 60_000 <= found.record.most_in_a_minute() <= 60_000
    assert found.writes / 54 / WORKERS < 1


def test_no_more_runs_are_carried_out_at_a_time_than_may_be() -> None:
    """And above 90 % of the slots are in use, once they have been given out, while an owner comes for its reserve."""
    found = under_full_demand(Limits(concurrent_runs=120), 35, dying=0.001, reserve=0.2)
    waits = sorted(found.record.waits["vip"])

    assert found.record.most <= 120
    assert waits[len(waits) // 2] < 4
    assert sum(found.running[10:]) / len(found.running[10:]) >= 0.9 * 120
    assert found.writes / 25 / WORKERS < 1


def test_a_pool_that_is_large_enough_slows_nothing_down() -> None:
    """As many runs end as without any pool: what comes finds spare room in the worker's slice."""

    def ended(limits: Limits) -> int:
        async def main(loop: VirtualLoop) -> int:
            chance, record = random.Random(7), Record()
            pool = Pool("p", agents=("bot",), limits=limits)
            store = await store_of(loop, SlowTables(chance), pool)
            workers = [Worker(loop, store, pool, f"w{number}", record) for number in range(8)]
            for _ in range(300):
                chance.choice(workers).start("bot", [200], 2)
                await asyncio.sleep(0.1)
            await asyncio.sleep(2.5)
            return sum(1 for use in record.calls if use.at + 2 <= loop.time())

        return run_virtually(main)

    without, within = ended(Limits(open_sessions=1)), ended(Limits(concurrent_runs=200, tokens_per_minute=10**6))

    assert within >= 0.98 * without


def test_high_priority_comes_first_and_nobody_starves() -> None:
    """High priority is a head start of a minute: what has waited for longer comes before it."""

    async def main(loop: VirtualLoop) -> list[str]:
        pool = Pool("p", agents=("bot",), limits=Limits(concurrent_runs=1), aging_s=60)
        store = await store_of(loop, SlowTables(random.Random(7)), pool)
        workers, order = [Worker(loop, store, pool, f"w{number}", Record()) for number in range(4)], list[str]()
        begun = loop.now().timestamp()

        async def run(worker: Worker, name: str, key: float) -> None:
            slot = await worker.lease.take("", Amounts(runs=1), key, 600)
            order.append(name)
            await asyncio.sleep(10)
            worker.lease.release(slot)

        runs = [asyncio.create_task(run(workers[0], "first", begun))]
        await asyncio.sleep(1)
        for name, key in (("normal", begun), ("old", begun - 90), ("high", begun - 60)):
            runs.append(asyncio.create_task(run(workers[len(runs)], name, key)))
        await asyncio.gather(*runs)
        return order

    assert run_virtually(main) == ["first", "old", "high", "normal"]


def test_an_owners_reserve_is_there_while_others_want_everything() -> None:
    """Others have all slots of it; its runs wait no longer than until some of these end."""

    async def main(loop: VirtualLoop) -> dict[str, list[float]]:
        chance, record = random.Random(7), Record()
        pool = Pool(
            "p",
            agents=("bot", "vip"),
            limits=Limits(concurrent_runs=20),
            shares={"vip": Share(0.25)},
            strategy="aggressive",
        )
        store = await store_of(loop, SlowTables(chance), pool)
        workers = [Worker(loop, store, pool, f"w{number}", record) for number in range(8)]
        for second in range(90):
            for worker in workers:
                while len(worker.tasks) < 12:
                    worker.start("bot", [1], chance.uniform(3, 5))
            if second > 30:
                workers[second % 8].start("vip", [1], 3)
            await asyncio.sleep(1)
        return record.waits

    waits = run_virtually(main)

    assert max(waits["vip"]) < 6
    assert sum(waits["bot"]) / len(waits["bot"]) > 6


def test_an_owner_waits_for_no_run_of_others_to_end() -> None:
    """Its slots are lent to runs of minutes: after ten seconds as many of these as it takes wait at their next call."""

    async def main(loop: VirtualLoop) -> Record:
        chance, record = random.Random(7), Record()
        shares = {"vip": Share(0.25)}
        limits = Limits(concurrent_runs=20)
        pool = Pool("p", agents=("bot", "vip"), limits=limits, shares=shares, strategy="aggressive")
        store = await store_of(loop, SlowTables(chance), pool)
        workers = [Worker(loop, store, pool, f"w{number}", record) for number in range(5)]
        for number in range(20):
            workers[number % 5].start("bot", [1] * 60, chance.uniform(2, 4))
        await asyncio.sleep(15)
        for _ in range(4):
            chance.choice(workers).start("vip", [1], 5)
        await asyncio.sleep(25)
        waited, recalled = record.waits["vip"], record.recalled
        await asyncio.sleep(5)
        assert (len(waited), recalled, record.running, record.recalled) == (4, 4, 20, 4)
        return record

    record = run_virtually(main)

    assert 10 < max(record.waits["vip"]) < 10 + 4 + 4
    assert record.most == 20


def test_what_waits_too_long_is_told_when_there_may_be_room() -> None:
    async def main(loop: VirtualLoop) -> float | None:
        pool = Pool("p", agents=("bot",), limits=Limits(requests_per_minute=2))
        store = await store_of(loop, SlowTables(random.Random(7)), pool)
        lease = Worker(loop, store, pool, "w", Record()).lease
        for _ in range(2):
            await lease.take("", Amounts(requests=1), 0, 5)
        with pytest.raises(PoolFull) as full:
            await lease.take("", Amounts(requests=1), 0, 5)
        return full.value.retry_after_s

    assert 20 <= (run_virtually(main) or 0) <= 60


def test_a_worker_that_has_nothing_to_do_makes_no_request() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, int]:
        tables = SlowTables(random.Random(7))
        pool = Pool("p", agents=("bot",), limits=Limits(requests_per_minute=60))
        lease = Worker(loop, await store_of(loop, tables, pool), pool, "w", Record()).lease
        await lease.take("", Amounts(requests=1), 0, 5)
        await asyncio.sleep(30)
        first = tables.counts["commit pools"]
        await asyncio.sleep(300)
        return first, tables.counts["commit pools"]

    first, later = run_virtually(main)

    assert first == later
    assert first <= 8


def test_what_does_not_wait_is_told_at_once_while_the_pool_is_known_to_be_full() -> None:
    """It makes no request of its own: the worker has just made one."""

    async def main(loop: VirtualLoop) -> tuple[float, int]:
        tables = SlowTables(random.Random(7))
        pool = Pool("p", agents=("bot",), limits=Limits(requests_per_minute=1))
        lease = Worker(loop, await store_of(loop, tables, pool), pool, "w", Record()).lease
        await lease.take("", Amounts(requests=1), 0, 5)
        with pytest.raises(PoolFull):
            await lease.take("", Amounts(requests=1), 0, 0)
        began, before = loop.time(), tables.counts["commit pools"]
        with pytest.raises(PoolFull):
            await lease.take("", Amounts(requests=1), 0, 0)
        return loop.time() - began, tables.counts["commit pools"] - before

    assert run_virtually(main) == (0, 0)


def test_a_pool_that_is_deleted_holds_up_nobody() -> None:
    """What waits comes again, and the worker has nothing more to do with the pool."""

    async def main(loop: VirtualLoop) -> bool:
        tables = SlowTables(random.Random(7))
        pool = Pool("p", agents=("bot",), limits=Limits(concurrent_runs=1))
        store = await store_of(loop, tables, pool)
        lease = Worker(loop, store, pool, "w", Record()).lease
        slot = await lease.take("", Amounts(runs=1), 0, 5)
        waiting = asyncio.create_task(lease.take("", Amounts(runs=1), 0, 60))
        await asyncio.sleep(2)
        await store.delete("default", "p", None)
        with pytest.raises(PoolFull):
            await waiting
        lease.release(slot)
        await asyncio.sleep(5)
        return lease.idle

    assert run_virtually(main)
