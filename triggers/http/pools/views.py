"""Request and response models of pools and resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from kernel.errors import InvalidInput
from llmops.capacity.pools import Limits, Pool, Share, Thresholds
from triggers.http.base_models import Body, Page, View

if TYPE_CHECKING:
    from llmops.capacity.pool_usage import PoolUsage
    from llmops.capacity.worker_resources import Hour, Range, Resources, WorkerUse

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Part = Annotated[float, Field(ge=0, le=1)]
AgentName = Annotated[str, Field(pattern="^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
Strategy = Literal["aggressive", "balanced", "conservative"]
WhenFull = Literal["wait", "refuse", "spill"]
Level = Literal["ok", "warning", "critical"]

_NOT_A_POOLS: Mapping[str, str] = {
    "memory_mb": "memory belongs to instances (instanceMemoryMB), not to pools; GET resources measures it",
    "cpu_percent": "CPU belongs to instances, not to pools; GET resources measures it",
    "network_mb_per_second": "the platform has no network limit for a pool",
    "storage_mb": "the platform has no storage limit for a pool; retention settings bound what is stored",
    "weights": "weights choose between deployments of a model, which a pool does not",
    "reserved_memory_mb": "memory cannot be reserved for a pool; shares reserve runs, tokens and requests",
    "reserved_cpu_percent": "CPU cannot be reserved for a pool; shares reserve runs, tokens and requests",
    "elastic": "a pool's limits are what its deployments allow; min and max of agents are in shares",
    "allocation": "strategy and shares are fields of the pool itself; memory and CPU are not a pool's",
    "scaling": "instances are of the app, not of a pool: PUT scaling/policy",
    "monitoring": "thresholds are a field of the pool itself; what is used is kept by the hour for 30 days",
}


def _check_enforceable(data: Any, at: str = "") -> Any:
    """Refuse limits that a pool cannot enforce, naming who can.

    Raises:
        InvalidInput: `pool_limit_not_enforceable`.
    """
    wrong = {f"{at}/{name}": why for name, why in _NOT_A_POOLS.items() if isinstance(data, dict) and name in data}
    if wrong:
        msg = "A pool does not take what it cannot hold: " + "; ".join(wrong.values()) + "."
        raise InvalidInput(msg, code="pool_limit_not_enforceable", fields=wrong)
    return data


class PoolLimitsBody(Body):
    """The limits of a pool; null for unlimited. At least one is given.

    Attributes:
        concurrent_runs: Runs carried out at the same time.
        open_sessions: Open sessions.
        tokens_per_minute: Input and output tokens of the calls that begin within any 60 seconds.
        requests_per_minute: Model calls that begin within any 60 seconds.
    """

    concurrent_runs: Count | None = None
    open_sessions: Annotated[int, Field(ge=1, le=5000)] | None = None
    tokens_per_minute: Count | None = None
    requests_per_minute: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _enforceable(cls, data: Any) -> Any:
        return _check_enforceable(data, "/limits")


class ShareBody(Body):
    """An agent's part of each limit, 0-1.

    Attributes:
        min: Reserved for it: within this share it comes before all others.
        max: The most it may use.
    """

    min: Part = 0.0
    max: Part = 1.0


class ThresholdsBody(Body):
    """Used shares (0-1) from which a pool is in a warning state; it is critical halfway between there and 1.

    Attributes:
        memory: Of workers' memory; workers serve all pools, so the lowest threshold of any pool applies.
        cpu: Of workers' CPU, likewise.
        sessions: Of concurrent runs and open sessions.
        tokens: Of tokens and requests per minute.
    """

    memory: Part = 0.90
    cpu: Part = 0.85
    sessions: Part = 0.95
    tokens: Part = 0.90


class PoolBody(Body):
    """A pool.

    Attributes:
        agents: Its agents by name.
        labels: Its agents by label: those that have all of these labels and that no pool names.
        limits: Limits of all its agents together.
        shares: Parts of single agents, by agent.
        strategy: How much of an unused reserve others may use: aggressive all, balanced half, conservative none.
        when_full: What happens when the pool is full: wait in order of priority, refuse with 429, or spill over.
        spill_to: The pool used instead, where when_full is spill.
        aging_s: How many seconds longer a run of normal priority must have waited to come before one of high priority.
        thresholds: When the pool is in a warning state.
    """

    agents: Annotated[tuple[AgentName, ...], Field(max_length=40)] = ()
    labels: Annotated[Mapping[str, str], Field(max_length=16)] = {}
    limits: PoolLimitsBody
    shares: Annotated[Mapping[AgentName, ShareBody], Field(max_length=20)] = {}
    strategy: Strategy = "balanced"
    when_full: WhenFull = "wait"
    spill_to: AgentName | None = None
    aging_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    thresholds: ThresholdsBody = ThresholdsBody()

    @model_validator(mode="before")
    @classmethod
    def _enforceable(cls, data: Any) -> Any:
        return _check_enforceable(data)

    def of(self, name: str) -> Pool:
        """Return the pool of that name."""
        return Pool(
            name,
            tuple(sorted(set(self.agents))),
            dict(self.labels),
            Limits(**self.limits.model_dump()),
            {agent: Share(share.min, share.max) for agent, share in self.shares.items()},
            self.strategy,
            self.when_full,
            self.spill_to,
            self.aging_s,
            Thresholds(**self.thresholds.model_dump()),
        )


class PoolLimitsView(View):
    """The limits of a pool; null for unlimited."""

    concurrent_runs: int | None
    open_sessions: int | None
    tokens_per_minute: int | None
    requests_per_minute: int | None


class ShareView(View):
    """An agent's part of each limit, 0-1."""

    min: float
    max: float


class ThresholdsView(View):
    """Used shares from which a pool is in a warning state, 0-1."""

    memory: float
    cpu: float
    sessions: float
    tokens: float


class LimitUseView(View):
    """The usage of a limit, and its level; more than the limit where that was lowered."""

    name: str
    limit: int
    used: int
    level: Level


class AgentUseView(View):
    """The usage of an agent with a share of its own."""

    agent: str
    runs: int
    tokens: int
    requests: int


class PoolUsageView(View):
    """The usage of a pool: what workers hold, plus what was used within the last minute."""

    level: Level
    limits: Sequence[LimitUseView]
    by_agent: Sequence[AgentUseView]
    workers: int
    waiting: int
    longest_wait_s: float

    @classmethod
    def from_usage(cls, usage: PoolUsage) -> PoolUsageView:
        """Return the view of a pool's usage."""
        agents = [AgentUseView.of(amounts, agent=agent) for agent, amounts in sorted(usage.by_agent.items())]
        return cls.of(
            usage,
            limits=[LimitUseView.of(one) for one in usage.limits],
            by_agent=agents,
            longest_wait_s=round(usage.longest_wait_s, 1),
        )


class PoolView(View):
    """A pool and its usage; `usage` is null in lists."""

    name: str
    agents: Sequence[str]
    labels: Mapping[str, str]
    limits: PoolLimitsView
    shares: Mapping[str, ShareView]
    strategy: Strategy
    when_full: WhenFull
    spill_to: str | None
    aging_s: float
    thresholds: ThresholdsView
    usage: PoolUsageView | None

    @classmethod
    def from_pool(cls, pool: Pool, usage: PoolUsage | None = None) -> PoolView:
        """Return the view of a pool."""
        return cls.of(
            pool,
            limits=PoolLimitsView.of(pool.limits),
            shares={agent: ShareView(min=one.least, max=one.most) for agent, one in pool.shares.items()},
            thresholds=ThresholdsView.of(pool.thresholds),
            usage=PoolUsageView.from_usage(usage) if usage else None,
        )


class PoolPage(Page[PoolView]):
    """Pools by name."""


class WorkerUseView(View):
    """The resource use of a recently active worker: its random id, and the time of the sample."""

    worker: str
    at: datetime
    memory_mb: float
    memory_share: float | None
    cpu_share: float
    level: Level

    @classmethod
    def from_use(cls, use: WorkerUse) -> WorkerUseView:
        """Return the view of a worker's resource use."""
        share = None if use.memory_share is None else round(use.memory_share, 4)
        return cls.of(use, memory_mb=round(use.memory_bytes / 1_048_576, 1), memory_share=share)


class NamedUsageView(View):
    """A pool and its usage."""

    pool: str
    usage: PoolUsageView


class ResourceUseView(View):
    """The current resource use, and the worst level of any worker or pool."""

    level: Level
    workers: Sequence[WorkerUseView]
    pools: Sequence[NamedUsageView]

    @classmethod
    def from_resources(cls, found: Resources) -> ResourceUseView:
        """Return the view of the current resource use."""
        pools = [NamedUsageView(pool=one.pool.name, usage=PoolUsageView.from_usage(one)) for one in found.pools]
        return cls(level=found.level, workers=[WorkerUseView.from_use(one) for one in found.workers], pools=pools)


class RangeView(View):
    """Maximum and mean of an hour's samples, one per minute."""

    most: float
    mean: float
    samples: int

    @classmethod
    def from_range(cls, found: Range) -> RangeView:
        """Return the view of a range."""
        return cls.of(found, mean=round(found.mean, 4))


class ResourceHourView(View):
    """Resource use in an hour: number of workers and highest shares; of pools the shares by limit."""

    start: datetime
    workers: Mapping[str, RangeView]
    pools: Mapping[str, Mapping[str, RangeView]]

    @classmethod
    def from_hour(cls, hour: Hour) -> ResourceHourView:
        """Return the view of an hour."""
        return cls(
            start=hour.start,
            workers={name: RangeView.from_range(one) for name, one in hour.workers.items()},
            pools={
                pool: {name: RangeView.from_range(one) for name, one in limits.items()}
                for pool, limits in hour.pools.items()
            },
        )


class ResourceHistoryView(View):
    """Resource use by hour."""

    items: Sequence[ResourceHourView]
