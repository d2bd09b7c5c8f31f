"""Cache statistics of a workspace's agents over all workers, and what other cache settings would have achieved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass
from lifecycle.loader.cache_insights import LoaderFigures, insights_of
from lifecycle.loader.eviction_policies import POLICIES, PolicyName
from lifecycle.loader.loader_statistics import ActivityReport, LoaderMetrics, reported
from lifecycle.loader.simulation import Replay, clairvoyant, fitting_capacity, replay, static
from lifecycle.loader.strategy_comparison import Compared, compared
from llmops.metrics.definitions import CAPACITY, LOADS, LOOKUPS, PRELOADS, REMOVALS, STRATEGY_LOOKUPS
from llmops.performance.insights import Insight

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.loader.agent_ranking import AccessHistory, Rankings
    from lifecycle.loader.agent_resolver import AgentResolver
    from lifecycle.loader.hit_rates import HitRates
    from lifecycle.registry.agent_counts import LifecycleCounts
    from llmops.metrics.series import Series
    from llmops.metrics.shared import SharedMetrics

MAX_CAPACITY = 10_000
MAX_WORKERS = 64
MAX_HOURS = 30 * 24
MAX_REPLAYED = 200_000
"""Most accesses that are replayed, latest ones; takes some seconds."""


@dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """Cache statistics of one worker.

    Attributes:
        worker: The worker's random id.
        at: Time of the statistics, aware UTC.
        metrics: Its statistics since it started.
        strategy: Its strategy, where strategies are being compared; else None.
    """

    worker: str
    at: datetime
    metrics: LoaderMetrics
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class LoaderState:
    """Cache statistics of a workspace's agents.

    Attributes:
        policy: Eviction policy of the answering worker's cache.
        total: Sum over all workers that reported lately; `max_active` is one worker's capacity times their number.
        workers: Statistics of each.
        learned_until: Until when accesses are in the ranking, aware UTC; None before the first time.
        strategies: Results of the last day of strategies that are being compared; empty where there is one.
        insights: Insights, the most severe first.
    """

    policy: PolicyName
    total: LoaderMetrics
    workers: Sequence[WorkerMetrics]
    learned_until: datetime | None
    strategies: Sequence[Compared] = ()
    insights: Sequence[Insight] = ()


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What other caches would have achieved on the recorded accesses.

    Attributes:
        accesses: Number of replayed accesses.
        capacity: The size of each worker's cache.
        workers: Number of caches.
        replays: The results by policy.
        clairvoyant: The best possible result of any policy, with one worker.
        static: The result of a fixed cache of the most used agents, with one worker.
        suggested_capacity: The smallest capacity within one point of the hit rate of `most`; with one worker.
    """

    accesses: int
    capacity: int
    workers: int
    replays: dict[PolicyName, Replay]
    clairvoyant: Replay
    static: Replay
    suggested_capacity: int


class LoaderOverview:
    """Reads cache statistics over all workers."""

    def __init__(
        self,
        rankings: Rankings,
        history: AccessHistory,
        metrics: SharedMetrics,
        counts: LifecycleCounts,
        resolver: AgentResolver,
        hit_rates: HitRates,
        clock: Clock,
        *,
        policy: PolicyName,
        threshold: float,
    ) -> None:
        self._rankings = rankings
        self._history = history
        self._metrics = metrics
        self._counts = counts
        self._resolver = resolver
        self._hit_rates = hit_rates
        self._clock = clock
        self._policy: PolicyName = policy
        self._threshold = threshold

    async def state(self, workspace: str) -> LoaderState:
        """Return the cache statistics of the workspace's agents, by worker and in total."""
        now = self._clock()
        ranking, rows, lifecycle, hour, day = await asyncio.gather(
            self._rankings.read(),
            self._metrics.by_worker(workspace),
            self._counts.read(workspace, now, 1),
            self._hit_rates.read(workspace, now - timedelta(hours=1)),
            self._hit_rates.read(workspace, now - timedelta(days=1)),
        )
        capacity = self._resolver.cache.capacity
        workers = [
            WorkerMetrics(worker, at, _metrics(series, capacity), _strategy(series)) for worker, at, series in rows
        ]
        total = reduce(_added, (worker.metrics for worker in workers), LoaderMetrics())
        candidates = [
            one
            for one in ranking.book.ranked(now.timestamp())
            if one.key[0] == workspace and one.priority >= self._threshold and one.key not in self._resolver.cache
        ]
        total = replace(total, configurations=sum(lifecycle.states.values()), candidates=len(candidates))
        strategies = compared(day.during.strategies)
        insights = insights_of(LoaderFigures(total, len(workers), hour, strategies))
        return LoaderState(self._policy, total, workers, ranking.learned_until, strategies, insights)

    async def activity(self, workspace: str) -> Sequence[ActivityReport]:
        """Return the statistics of the workspace's ranked agents, highest priority first.

        `active` is whether this worker's cache has the agent.
        """
        ranking = await self._rankings.read()
        now = self._clock().timestamp()
        return [
            reported(one, active=one.key in self._resolver.cache)
            for one in ranking.book.ranked(now)
            if one.key[0] == workspace
        ]

    async def what_if(
        self,
        workspace: str,
        *,
        policy: str | None = None,
        capacity: int | None = None,
        workers: int = 1,
        hours: int = 24,
        most: int = 500,
    ) -> WhatIf:
        """Return what other caches would have achieved on the workspace's accesses of the last hours.

        Args:
            workspace: The workspace.
            policy: One policy; None for all.
            capacity: The size of each cache; None for this worker's size.
            workers: Number of caches, each with its share of the accesses.
            hours: How far back, at most 30 days.
            most: The largest cache to consider.

        Raises:
            InvalidInput: A value is out of bounds (code `invalid_setting`).
        """
        capacity = self._resolver.cache.capacity if capacity is None else capacity
        bounds = {"capacity": (capacity, MAX_CAPACITY), "workers": (workers, MAX_WORKERS), "hours": (hours, MAX_HOURS)}
        for name, (value, limit) in {**bounds, "most": (most, MAX_CAPACITY)}.items():
            if not 1 <= value <= limit:
                raise InvalidInput(
                    f"{name} must be from 1 to {limit}.", code="invalid_setting", fields={f"/{name}": "out of bounds"}
                )
        if policy is not None and policy not in POLICIES:
            text = f"must be one of {', '.join(POLICIES)}"
            raise InvalidInput(f"policy {text}.", code="invalid_setting", fields={"/policy": text})
        now = self._clock()
        accesses = await self._history.read(now - timedelta(hours=hours), now)
        keys = [access.agent for access in accesses if access.workspace == workspace][-MAX_REPLAYED:]
        wanted: list[PolicyName] = [name for name in POLICIES if policy in (None, name)]
        return await asyncio.to_thread(_what_if, keys, wanted, capacity, workers, max(most, capacity))


def _what_if(keys: Sequence[str], policies: Sequence[PolicyName], capacity: int, workers: int, most: int) -> WhatIf:
    return WhatIf(
        len(keys),
        capacity,
        workers,
        {policy: replay(keys, policy, capacity, workers=workers) for policy in policies},
        clairvoyant(keys, capacity),
        static(keys, capacity),
        fitting_capacity(keys, policies[0], 1, most),
    )


def _strategy(series: Series) -> str | None:
    return next((key[1] for key in series if key[0] == STRATEGY_LOOKUPS.name), None)


def _metrics(series: Series, capacity: int) -> LoaderMetrics:
    def count(*key: str) -> int:
        return round(series.get(key, (0.0,))[0])

    loads = count(LOADS.name, "run") + count(LOADS.name, "preload")
    evictions = count(REMOVALS.name, "evicted")
    return LoaderMetrics(
        hits=count(LOOKUPS.name, "hit"),
        misses=count(LOOKUPS.name, "miss"),
        loads=loads,
        failures=count(PRELOADS.name, "failed"),
        evictions=evictions,
        active=max(0, loads - evictions - count(REMOVALS.name, "dropped")),
        max_active=count(CAPACITY.name) or capacity,
        preloaded=count(LOADS.name, "preload"),
        preload_failures=count(PRELOADS.name, "failed"),
        preloads_used=count(PRELOADS.name, "used"),
        preloads_wasted=count(PRELOADS.name, "wasted"),
    )


def _added(one: LoaderMetrics, other: LoaderMetrics) -> LoaderMetrics:
    return LoaderMetrics(
        hits=one.hits + other.hits,
        misses=one.misses + other.misses,
        loads=one.loads + other.loads,
        failures=one.failures + other.failures,
        evictions=one.evictions + other.evictions,
        active=one.active + other.active,
        max_active=one.max_active + other.max_active,
        preloaded=one.preloaded + other.preloaded,
        preload_failures=one.preload_failures + other.preload_failures,
        preloads_used=one.preloads_used + other.preloads_used,
        preloads_wasted=one.preloads_wasted + other.preloads_wasted,
    )
