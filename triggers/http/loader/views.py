"""Request and response models of the loader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from triggers.http.base_models import Body, Page, View
from triggers.http.performance.views import InsightView

if TYPE_CHECKING:
    from lifecycle.loader.cache_plan import Step
    from lifecycle.loader.loader_statistics import ActivityReport, LoaderMetrics
    from lifecycle.loader.simulation import Replay

Policy = Literal["sieve", "lru", "s3-fifo", "w-tinylfu"]


class CachePerformanceView(View):
    """Cache look-ups since the workers started. A hit took no I/O; shares are null without look-ups."""

    hit_rate: float | None
    cache_hits: int
    cache_misses: int
    total_loads: int
    evictions: int
    load_efficiency: float | None


class AgentStatusView(View):
    """Agents held in caches, and how many exist; `total_configurations` is null for one worker."""

    active_agents: int
    total_configurations: int | None
    max_active: int
    cache_utilization: float


class PreloadingView(View):
    """Preloaded agents, and how many of them were used."""

    preload_successes: int
    preload_failures: int
    used: int
    wasted: int
    candidates_for_preload: int


class LoaderMetricsView(View):
    """The performance of a cache."""

    cache_performance: CachePerformanceView
    agent_status: AgentStatusView
    preloading: PreloadingView

    @classmethod
    def from_metrics(cls, metrics: LoaderMetrics) -> LoaderMetricsView:
        """Return the view of a loader's metrics."""
        return cls(
            cache_performance=CachePerformanceView(
                hit_rate=metrics.hit_rate,
                cache_hits=metrics.hits,
                cache_misses=metrics.misses,
                total_loads=metrics.loads,
                evictions=metrics.evictions,
                load_efficiency=metrics.load_efficiency,
            ),
            agent_status=AgentStatusView(
                active_agents=metrics.active,
                total_configurations=metrics.configurations,
                max_active=metrics.max_active,
                cache_utilization=metrics.utilization,
            ),
            preloading=PreloadingView(
                preload_successes=metrics.preloaded,
                preload_failures=metrics.preload_failures,
                used=metrics.preloads_used,
                wasted=metrics.preloads_wasted,
                candidates_for_preload=metrics.candidates,
            ),
        )


class WorkerView(View):
    """A worker that reported lately: its random id, and the time of its report.

    `strategy` is set where several are compared (LOADER_STRATEGIES), else null.
    """

    worker: str
    at: datetime
    metrics: LoaderMetricsView
    strategy: str | None


class StrategyView(View):
    """The results of a strategy's workers in the last day.

    The true hit rate is between `least` and `most` with 95 % confidence: where these ranges overlap, two strategies
    cannot be told apart yet.
    """

    strategy: str
    hits: int
    misses: int
    hit_rate: float
    least: float
    most: float


class LoaderView(View):
    """The performance of the workers' agent caches.

    `policy` is that of the worker that responds. `learned_until` is the time up to which uses are in the ranking; null
    before the first. `strategies` are those compared, the best first; empty where none are.
    """

    policy: Policy
    total: LoaderMetricsView
    workers: Sequence[WorkerView]
    learned_until: datetime | None
    strategies: Sequence[StrategyView]
    insights: Sequence[InsightView]


class CompanionView(View):
    """An agent that the same user used after another one, and in what share of the other's uses, 0-1."""

    agent: str
    share: float


class ActivityView(View):
    """The use of an agent. A use three days ago counts half in `recent_uses`; `active`: this worker holds it."""

    agent: str
    active: bool
    last_used: datetime
    usage_count: int
    recent_uses: float
    success_rate: float | None
    average_response_time_ms: float | None
    total_cost_micro_usd: int
    priority_score: float
    companions: Sequence[CompanionView]

    @classmethod
    def from_report(cls, report: ActivityReport) -> ActivityView:
        """Return the view of a report."""
        companions = [CompanionView(agent=agent, share=round(share, 4)) for agent, share in report.companions]
        return cls.of(report, agent=report.agent_id, companions=companions)


class ActivityPage(Page[ActivityView]):
    """Agents by priority, the highest first."""


class ReplayView(View):
    """The simulated result of a cache policy."""

    policy: Policy
    hit_rate: float | None
    hits: int
    evictions: int

    @classmethod
    def from_replay(cls, policy: Policy, replay: Replay) -> ReplayView:
        """Return the view of a policy's replay."""
        return cls(policy=policy, hit_rate=replay.hit_rate, hits=replay.hits, evictions=replay.evictions)


class WhatIfView(View):
    """The simulated hit rates of caches for the recorded accesses; null without any.

    `clairvoyant_hit_rate` is that of the optimal policy, which knows the future; `static_hit_rate` that of the most
    used agents, held from the beginning. `suggested_capacity` is the smallest size within one percentage point of the
    hit rate of `most`. These three are for one worker.
    """

    accesses: int
    capacity: int
    workers: int
    replays: Sequence[ReplayView]
    clairvoyant_hit_rate: float | None
    static_hit_rate: float | None
    suggested_capacity: int


class PreloadBody(Body):
    """Which agents to preload.

    Attributes:
        agents: At most 100 names; null to let the loader choose.
    """

    agents: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] | None = None


class PreloadView(View):
    """The agents to be preloaded, and those of them that this worker now holds."""

    asked: Sequence[str]
    held: Sequence[str]


class StepView(View):
    """An agent to evict or preload, why, and its score, 0-1."""

    action: Literal["evict", "preload"]
    agent: str
    reason: Literal["unused_for_long", "low_priority", "high_priority", "requested", "used_together"]
    score: float

    @classmethod
    def from_step(cls, step: Step) -> StepView:
        """Return the view of a step."""
        return cls(action=step.action, agent=step.key[1], reason=step.reason, score=step.score)


class OptimizeView(View):
    """What was done, or with `dry_run` would be done, to this worker's cache, in order."""

    dry_run: bool
    items: Sequence[StepView]
