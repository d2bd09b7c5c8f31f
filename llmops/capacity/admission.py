"""Admission to capacity pools: an attempt takes a slot of its agent's pool, and each call its tokens and request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from llmops.capacity.pools import NOTHING, Amounts, Pool, PoolFull, PoolRefused, pool_of
from llmops.capacity.slice_division import available, expected_wait_s, waiting
from llmops.capacity.slice_messages import Grant, Request, State, Want
from llmops.capacity.worker_slice import Taken, WorkerSlice

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.errors import AppError
    from llmops.capacity.pool_store import PoolStore
    from llmops.capacity.session_limit import SessionClaims


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """Who asks for capacity.

    Attributes:
        workspace: The workspace.
        agent: The agent.
        labels: The agent's labels.
        since: When the run was accepted.
        high: Whether the run has high priority.
    """

    workspace: str
    agent: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    since: datetime | None = None
    high: bool = False


class Capacity:
    """The pools whose limits this worker shares. Bound to one event loop; an agent without a pool costs nothing."""

    def __init__(self, store: PoolStore, claims: SessionClaims, clock: Clock, wait_for: timedelta) -> None:
        """Set the dependencies.

        Args:
            store: The pools and their states.
            claims: The open sessions of pools.
            clock: Returns the current time.
            wait_for: How long a run waits in a worker for capacity before it is put back on the queue.
        """
        self._store = store
        self._claims = claims
        self._clock = clock
        self._wait_for = wait_for
        self._worker = new_id()
        self._leases: dict[tuple[str, str], WorkerSlice] = {}

    async def admission(self, claim: AdmissionRequest) -> Admission | None:
        """Return the admission of one attempt to its agent's pool; None where the agent has no pool."""
        pools = await self._store.of(claim.workspace)
        if not pools or (pool := pool_of(pools, claim.agent, claim.labels)) is None:
            return None
        chain = [pool]
        by_name = {one.name: one for one in pools}
        while chain[-1].spill_to is not None and (following := by_name.get(chain[-1].spill_to)) is not None:
            chain.append(following)
        leases = [self._lease(claim.workspace, one) for one in chain]
        began = (claim.since or self._clock()).timestamp()
        return Admission(
            leases, claim.agent, began - (pool.aging_s if claim.high else 0), self._wait_for.total_seconds()
        )

    async def admit(self, claim: AdmissionRequest) -> None:
        """Refuse a run at submission if its agent's pool is full and refuses at once (`when_full` is refuse).

        The check reads the pool as it is now; runs submitted at the same time may still find it full when they start.

        Raises:
            PoolRefused: The pool is full; `retry_after_s` estimates when it has capacity.
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

    async def enter_session(self, claim: AdmissionRequest, session_id: str) -> None:
        """Enter a session that is about to start, where the agent's pool limits open sessions.

        Raises:
            SessionsFull: The limit is reached.
        """
        pools = await self._store.of(claim.workspace)
        pool = pool_of(pools, claim.agent, claim.labels) if pools else None
        if pool is not None and pool.limits.open_sessions is not None:
            await self._claims.enter(claim.workspace, pool, claim.agent, session_id)

    async def aclose(self) -> None:
        """Release everything this worker holds."""
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


class Admission:
    """What one attempt takes of its agent's pool, or of the pool that one spills over to, and releases."""

    def __init__(self, leases: list[WorkerSlice], agent: str, key: float, wait_s: float) -> None:
        self._leases = leases
        self._agent = agent
        self._key = key
        self._wait_s = wait_s
        self._slot: tuple[WorkerSlice, Taken] | None = None
        self._call: tuple[WorkerSlice, Taken] | None = None

    @property
    def pool(self) -> str:
        """The name of the agent's pool."""
        return self._leases[0].pool.name

    async def enter(self) -> None:
        """Take a slot for the attempt.

        Raises:
            PoolFull: No slot is free; the run is to be retried later.
            PoolRefused: No slot is free, and the pool refuses at once.
        """
        self._slot = await self._take(Amounts(runs=1))

    async def begin(self, tokens: int) -> None:
        """Take one request and the tokens of a call, counted at the most that it may use.

        An attempt whose slot is recalled, for who has a reserve, takes another one first. Where the pool refuses what
        does not fit at once, it keeps its slot: what it has begun is not refused.

        Raises:
            PoolFull: There is no capacity now; the run is to go on later.
            PoolRefused: There is no capacity, and the pool refuses at once.
            NeverFits: The call may need more than the pool's whole limit.
        """
        if self._slot is not None and self._leases[-1].pool.when_full == "wait":
            lease, slot = self._slot
            if lease.give_way(slot):
                self._slot = None
                await self.enter()
        self._call = await self._take(Amounts(tokens=tokens, requests=1))

    def record(self, tokens: int, requests: int = 1) -> None:
        """Replace the estimate of the call that `begin` took by its actual tokens; 0 requests for a call not made."""
        if self._call is not None:
            (lease, taken), self._call = self._call, None
            lease.settle(taken, Amounts(tokens=tokens, requests=requests))

    def close(self) -> None:
        """Release the slot. A call without a known outcome stays counted at its estimate."""
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
    """Return the error of a request that a full pool refuses."""
    return PoolRefused(f"The pool {pool.name!r} has no room.", retry_after_s=max(1.0, wait_s))


__all__ = ["NOTHING", "Admission", "AdmissionRequest", "Capacity"]
