"""The current use of each pool, by limit and by agent, what waits, and the resulting level."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from kernel.lazy_dataclass import dataclass
from llmops.capacity import slice_division as slices
from llmops.capacity.pools import NOTHING, Amounts, Pool

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.capacity.pool_store import PoolStore
    from llmops.capacity.session_limit import SessionClaims
    from llmops.capacity.slice_messages import State

Level = Literal["ok", "warning", "critical"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "critical")


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst of some levels; `ok` for none."""
    found: list[Level] = ["ok", *levels]
    return max(found, key=LEVELS.index)


def level(used: float | None, threshold: float) -> Level:
    """Return the level of a used share: a warning from the threshold, critical from halfway between it and 1."""
    if used is None or used < threshold:
        return "ok"
    return "warning" if used < threshold + (1 - threshold) / 2 else "critical"


@dataclass(frozen=True, slots=True)
class LimitUse:
    """The use of a limit, and its level."""

    name: str
    limit: int
    used: int
    level: Level

    @property
    def share(self) -> float:
        """The used share; above 1 where the limit was lowered."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """The use of a pool.

    Attributes:
        pool: The pool.
        taken: What workers hold, plus what was used within the last minute.
        by_agent: The same by agent, for agents with a share of their own.
        sessions: Open sessions; 0 where the pool does not limit them.
        workers: Number of workers with a slice.
        waiting: Number of requests that wait for capacity.
        longest_wait_s: How long the first of them has waited, in seconds, including its head start.
    """

    pool: Pool
    taken: Amounts
    by_agent: Mapping[str, Amounts]
    sessions: int
    workers: int
    waiting: int
    longest_wait_s: float

    @property
    def limits(self) -> Sequence[LimitUse]:
        """The use of each limit."""
        limits, thresholds = self.pool.limits, self.pool.thresholds
        found = (
            ("concurrent_runs", limits.concurrent_runs, self.taken.runs, thresholds.sessions),
            ("open_sessions", limits.open_sessions, self.sessions, thresholds.sessions),
            ("tokens_per_minute", limits.tokens_per_minute, self.taken.tokens, thresholds.tokens),
            ("requests_per_minute", limits.requests_per_minute, self.taken.requests, thresholds.tokens),
        )
        return [
            LimitUse(name, limit, used, level(used / limit, threshold))
            for name, limit, used, threshold in found
            if limit is not None
        ]

    @property
    def level(self) -> Level:
        """The level of the limit nearest to exhaustion."""
        return worst(one.level for one in self.limits)

    @property
    def share(self) -> float:
        """The used share of the limit nearest to exhaustion."""
        return max((one.share for one in self.limits), default=0.0)


class PoolUsageReader:
    """Reads the use of pools."""

    def __init__(self, store: PoolStore, sessions: SessionClaims, clock: Clock) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock

    async def read(self, workspace: str, name: str) -> PoolUsage:
        """Return the use of a pool.

        Raises:
            NotFound: There is no pool of that name.
        """
        pool, _ = await self._store.get(workspace, name)
        return await self.of(workspace, pool)

    async def all(self, workspace: str) -> Sequence[PoolUsage]:
        """Return the use of each of the workspace's pools."""
        return await asyncio.gather(*(self.of(workspace, pool) for pool in await self._store.of(workspace)))

    async def of(self, workspace: str, pool: Pool) -> PoolUsage:
        """Return the use of the pool."""
        state = await self._store.state(workspace, pool.name)
        open_ = await self._sessions.count(workspace, pool.name) if pool.limits.open_sessions is not None else 0
        return usage_of(pool, state, open_, self._clock().timestamp())


def usage_of(pool: Pool, state: State, open_sessions: int, now: float) -> PoolUsage:
    """Return the use of a pool, from its state."""
    by_share = slices.used(state, now)
    total = NOTHING
    for amounts in by_share.values():
        total += amounts
    waits = slices.waiting(state, now)
    return PoolUsage(
        pool,
        total,
        {share: amounts for share, amounts in by_share.items() if share},
        open_sessions,
        len(state.slices),
        len(waits),
        max(0.0, now - waits[0].key) if waits else 0.0,
    )
