"""Workers of a pool in virtual time: each a real lease over tables in memory, whose requests take a while."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from adapters.memory_tables import MemoryTables
from kernel.errors import Unavailable
from kernel.tables import Row, Write
from llmops.capacity.pool_store import TABLE, PoolStore
from llmops.capacity.pools import Amounts, Pool, PoolFull
from llmops.capacity.worker_slice import WorkerSlice
from tests.virtual_time import VirtualLoop


class SlowTables(MemoryTables):
    """Tables over a network: each request takes milliseconds, and some fail before or after they took effect."""

    def __init__(self, chance: random.Random, failing: float = 0.0) -> None:
        super().__init__()
        self._chance = chance
        self._failing = failing
        self.counts: Counter[str] = Counter()

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        await self._travel()
        return await super().get(table, partition, key)

    async def commit(self, table: str, writes: Sequence[Write]) -> Sequence[str]:
        self.counts[f"commit {table}"] += 1
        await self._travel()
        etags = await super().commit(table, writes)
        await self._travel()
        return etags

    async def _travel(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.001, 0.006))
        if self._chance.random() < self._failing:
            raise Unavailable


@dataclass
class Use:
    """A call that was made: when, and what it took."""

    at: float
    tokens: int


@dataclass
class Record:
    """What workers did.

    Attributes:
        calls: All calls.
        running: Runs that are carried out by workers that live.
        most: Most of them at any time.
        waits: How long runs waited, by agent.
        area: Run-seconds carried out.
        recalled: How often a run gave its slot back before it had ended.
    """

    calls: list[Use] = field(default_factory=list[Use])
    running: int = 0
    most: int = 0
    waits: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    area: float = 0.0
    refused: int = 0
    recalled: int = 0

    def began(self) -> None:
        """Note that a run is carried out, or goes on."""
        self.running += 1
        self.most = max(self.most, self.running)

    def most_in_a_minute(self, what: str = "tokens") -> int:
        """Return the most that was used in any 60 seconds."""
        window: deque[tuple[float, int]] = deque()
        total = most = 0
        for use in sorted(self.calls, key=lambda use: use.at):
            amount = use.tokens if what == "tokens" else 1
            window.append((use.at, amount))
            total += amount
            while window[0][0] <= use.at - 60:
                total -= window.popleft()[1]
            most = max(most, total)
        return most

    def used(self, start: float, end: float, what: str = "tokens") -> int:
        return sum(use.tokens if what == "tokens" else 1 for use in self.calls if start <= use.at < end)


class Worker:
    """A process: its lease, and the runs that it carries out; it can die."""

    def __init__(
        self, loop: VirtualLoop, store: PoolStore, pool: Pool, name: str, record: Record, *, skew: float = 0.0
    ) -> None:
        self._loop = loop
        self.record = record
        self.tasks: set[asyncio.Task[None]] = set()

        async def exchange(pool_name, request, now):
            return await store.exchange("default", pool_name, request, now)

        self.lease = WorkerSlice(pool, name, exchange, lambda: loop.now().timestamp() + skew)

    def start(self, agent: str, calls: Sequence[int], took: float, **how: float) -> None:
        """Begin a run of so many calls, each of so many tokens, that takes so long for each."""
        task = self._loop.create_task(self._run(agent, calls, took, **how))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _run(
        self, agent: str, calls: Sequence[int], took: float, head_start: float = 0.0, really: float = 1.0
    ) -> None:
        lease, record, began = self.lease, self.record, self._loop.time()
        key = self._loop.now().timestamp() - head_start
        share = lease.pool.share_of(agent)
        while True:
            try:
                slot = await lease.take(share, Amounts(runs=1), key, 30)
                break
            except PoolFull:
                record.refused += 1
        record.waits.setdefault(agent, []).append(self._loop.time() - began)
        record.began()
        try:
            for tokens in calls:
                if lease.give_way(slot):
                    record.recalled += 1
                    record.running -= 1
                    try:
                        slot = await lease.take(share, Amounts(runs=1), key, 600)
                    except BaseException:
                        record.running += 1  # as what follows takes it off
                        raise
                    record.began()
                while True:
                    try:
                        taken = await lease.take(share, Amounts(0, tokens, 1), key, 30)
                        break
                    except PoolFull:
                        record.refused += 1
                at = self._loop.time()
                use = Use(at, round(tokens * really))
                record.calls.append(use)
                await asyncio.sleep(took)
                record.area += took
                lease.settle(taken, Amounts(0, use.tokens, 1))
        finally:
            record.running -= 1
        lease.release(slot)

    def die(self) -> None:
        """Be gone at once, giving nothing back."""
        for task in list(self.tasks):
            task.cancel()
        if self.lease._task is not None:
            self.lease._task.cancel()


async def store_of(loop: VirtualLoop, tables: MemoryTables, *pools: Pool) -> PoolStore:
    """Return a store with the pools."""
    store = PoolStore(tables, loop.now, timedelta(days=1))
    for pool in pools:
        while True:
            try:
                await store.put("default", pool, None)
                break
            except Unavailable:
                continue
    return store


__all__ = ["TABLE", "Record", "SlowTables", "Use", "Worker", "store_of"]
