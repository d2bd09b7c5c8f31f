"""Room for runs: an attempt takes a slot of its agent's pool before it begins, and each call its tokens and request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kernel.clock import Clock
from kernel.errors import AppError
from kernel.ids import new_id
from llmops.capacity.exchange import Grant, Request, State, Want
from llmops.capacity.pools import NOTHING, Amounts, Pool, PoolFull, PoolRefused, pool_of
from llmops.capacity.sessions import SessionClaims
from llmops.capacity.slices import available, expected_wait_s, waiting
from llmops.capacity.store import PoolStore
from llmops.capacity.worker_slice import Taken, WorkerSlice


@dataclass(frozen=True, slots=True)
class RoomRequest:
    """Who wants room.

    Attributes:
        workspace: The workspace.
        agent: The agent.
        labels: The agent's labels.
        since: When the run was accepted.
        high: Whether it has high priority.
    """

    workspace: str
    agent: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    since: datetime | None = None
    high: bool = False


class Capacity:
    """The pools whose limits this worker shares. Belongs to one event loop; an agent without a pool costs nothing."""

    def __init__(self, store: PoolStore, claims: SessionClaims, clock: Clock, wait_for: timedelta) -> None:
        """Take what pools need.

        Args:
            store: The pools and their states.
            claims: The open sessions of pools.
            clock: What tells the time.
            wait_for: How long a run waits for room in a worker before it is put back on the queue.
        """
        self._store = store
        self._claims = claims
        self._clock = clock
        self._wait_for = wait_for
        self._worker = new_id()
        self._leases: dict[tuple[str, str], WorkerSlice] = {}

    async def room(self, claim: RoomRequest) -> Room | None:
        """Return the room of one attempt; None where its agent has no pool."""
        pools = await self._store.of(claim.workspace)
        if not pools or (pool := pool_of(pools, claim.agent, claim.labels)) is None:
            return None
        chain = [pool]
        by_name = {one.name: one for one in pools}
        while chain[-1].spill_to is not None and (following := by_name.get(chain[-1].spill_to)) is not None:
            chain.append(following)
        leases = [self._lease(claim.workspace, one) for one in chain]
        began = (claim.since or self._clock()).timestamp()
        return Room(leases, claim.agent, began - (pool.aging_s if claim.high else 0), self._wait_for.total_seconds())

    async def admit(self, claim: RoomRequest) -> None:
        """Refuse a run that is submitted where its agent's pool refuses what finds no room and has none.

        It reads the pool as it is: what comes at the same time may still find no room when its turn comes.

        Raises:
            PoolRefused: There is none; its `retry_after_s` says when there may be.
        """
        pools = await self._store.of(claim.workspace)
        if not pools or (pool := pool_of(pools, claim.agent, claim.labels)) is None or pool.when_full != "refuse":
            return
        state, now = await self._store.state(claim.workspace, pool.name), self._clock().timestamp()
        want = Want(now, pool.share_of(claim.agent), Amounts(1, 1, 1))
        free = available(pool, state, want.share, now)
        full = any(pool.limits.of(one) < float("inf") and free.of(one) < 1 for one in ("runs", "tokens", "requests"))
        if full or waiting(state, now):
            raise refused(pool, expected_wait_s(pool, state, want, now))

    async def enter_session(self, claim: RoomRequest, session_id: str) -> None:
        """Enter a session that is about to be started, where its agent's pool limits how many are open.

        Raises:
            SessionsFull: As many are open as may be.
        """
        pools = await self._store.of(claim.workspace)
        pool = pool_of(pools, claim.agent, claim.labels) if pools else None
        if pool is not None and pool.limits.open_sessions is not None:
            await self._claims.enter(claim.workspace, pool, claim.agent, session_id)

    async def aclose(self) -> None:
        """Give back what this worker holds."""
        for lease in self._leases.values():
            await lease.aclose()
        self._leases.clear()

    def _lease(self, workspace: str, pool: Pool) -> WorkerSlice:
        lease = self._leases.get((workspace, pool.name))
        if lease is None:

            async def exchange(name: str, request: Request, now: float) -> tuple[Grant, Pool, State]:
                return await self._store.exchange(workspace, name, request, now)

            lease = WorkerSlice(pool, self._worker, exchange, lambda: self._clock().timestamp())
            self._leases[workspace, pool.name] = lease
        lease.pool = pool
        return lease


class Room:
    """What one attempt takes of a pool, or of the one that it spills over to: one after the other, and gives back."""

    def __init__(self, leases: list[WorkerSlice], agent: str, key: float, wait_s: float) -> None:
        self._leases = leases
        self._agent = agent
        self._key = key
        self._wait_s = wait_s
        self._slot: tuple[WorkerSlice, Taken] | None = None
        self._call: tuple[WorkerSlice, Taken] | None = None

    @property
    def pool(self) -> str:
        """The name of the pool that the attempt's agent is in."""
        return self._leases[0].pool.name

    async def enter(self) -> None:
        """Take a slot for the attempt.

        Raises:
            PoolFull: There is none yet; the run comes again later.
            PoolRefused: There is none, and the pool refuses what does not fit at once.
        """
        self._slot = await self._take(Amounts(runs=1))

    async def begin(self, tokens: int) -> None:
        """Take a request and the tokens of a call, at the most that it may take.

        An attempt whose slot is recalled, for who has a reserve, takes another one first. Where the pool refuses what
        does not fit at once, it keeps its slot: what it has begun is not refused.

        Raises:
            PoolFull: There is no room yet; the run goes on later.
            PoolRefused: There is none, and the pool refuses what does not fit at once.
            NeverFits: It may take more than the pool allows in all.
        """
        if self._slot is not None and self._leases[-1].pool.when_full == "wait":
            lease, slot = self._slot
            if lease.give_way(slot):
                self._slot = None
                await self.enter()
        self._call = await self._take(Amounts(tokens=tokens, requests=1))

    def record(self, tokens: int, requests: int = 1) -> None:
        """Account for the call that was begun by what it really took; 0 requests for one that was never made."""
        if self._call is not None:
            (lease, taken), self._call = self._call, None
            lease.settle(taken, Amounts(tokens=tokens, requests=requests))

    def close(self) -> None:
        """Give back the slot. A call of which nothing is known stays counted as taken."""
        if self._slot is not None:
            (lease, taken), self._slot = self._slot, None
            lease.release(taken)

    async def _take(self, need: Amounts) -> tuple[WorkerSlice, Taken]:
        for lease in self._leases:
            pool, last = lease.pool, lease is self._leases[-1]
            share = pool.share_of(self._agent)
            try:
                return lease, await lease.take(share, need, self._key, self._wait_s if pool.when_full == "wait" else 0)
            except PoolFull as error:
                if pool.when_full == "refuse":
                    raise refused(pool, error.retry_after_s or 1) from None
                if last:
                    raise
        raise AssertionError


def refused(pool: Pool, wait_s: float) -> AppError:
    """Return the error of what a pool has no room for, and refuses."""
    return PoolRefused(f"The pool {pool.name!r} has no room.", retry_after_s=max(1.0, wait_s))


__all__ = ["NOTHING", "Capacity", "Room", "RoomRequest"]
