"""Statistics of a loader's cache and of agents' uses. Values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from lifecycle.loader.usage_statistics import Ranked


@dataclass(frozen=True, slots=True)
class LoaderMetrics:
    """Statistics of a loader's cache.

    Attributes:
        hits: Requests for agents that were live.
        misses: Requests for agents that had to be opened.
        loads: Agents opened, including preloads.
        failures: Agents that failed to open.
        evictions: Agents removed for lack of space.
        active: Agents in the cache now.
        max_active: Most agents in the cache.
        configurations: Number of configurations; None if not counted.
        preloaded: Agents opened before they were requested.
        preload_failures: Agents that failed to preload.
        preloads_used: Preloaded agents that were used.
        preloads_wasted: Preloaded agents that went, or stayed for an hour unless set otherwise, without a use.
        candidates: Agents worth preloading that are not held.
        set_aside: Files that could not be read, and where they are now.
    """

    hits: int = 0
    misses: int = 0
    loads: int = 0
    failures: int = 0
    evictions: int = 0
    active: int = 0
    max_active: int = 0
    configurations: int | None = None
    preloaded: int = 0
    preload_failures: int = 0
    preloads_used: int = 0
    preloads_wasted: int = 0
    candidates: int = 0
    set_aside: Sequence[str] = ()

    @property
    def hit_rate(self) -> float | None:
        """Hits over look-ups, 0-1; None without look-ups."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None

    @property
    def utilization(self) -> float:
        """Share of places in use, 0-1."""
        return self.active / self.max_active if self.max_active else 0.0

    @property
    def load_efficiency(self) -> float | None:
        """Share of attempts to open an agent that succeeded, 0-1; None without attempts."""
        tried = self.loads + self.failures
        return self.loads / tried if tried else None


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """Statistics of an agent's uses.

    Attributes:
        workspace: Its workspace; empty in the library.
        agent_id: The agent.
        active: Whether it is in the cache now.
        last_used: When it was last used, aware UTC.
        usage_count: Uses since the statistics began.
        recent_uses: Decayed number of uses: one three days ago counts half, unless set otherwise.
        success_rate: Share of recent uses that succeeded, 0-1; None if unknown.
        average_response_time_ms: Average duration of recent uses; None if unknown.
        total_cost_micro_usd: Cost of its uses, in millionths of a USD.
        priority_score: How much it is worth keeping in the cache, 0-1.
        companions: Agents used after it by the same user, with the share of its uses, 0-1.
    """

    workspace: str
    agent_id: str
    active: bool
    last_used: datetime
    usage_count: int
    recent_uses: float
    success_rate: float | None
    average_response_time_ms: float | None
    total_cost_micro_usd: int
    priority_score: float
    companions: Sequence[tuple[str, float]] = ()


def reported(ranked: Ranked, *, active: bool) -> ActivityReport:
    """Return what is said of an agent's use."""
    activity = ranked.activity
    return ActivityReport(
        workspace=ranked.key[0],
        agent_id=ranked.key[1],
        active=active,
        last_used=datetime.fromtimestamp(activity.last_used, UTC),
        usage_count=activity.total,
        recent_uses=ranked.uses,
        success_rate=activity.success_rate,
        average_response_time_ms=activity.average_ms,
        total_cost_micro_usd=activity.micro_usd,
        priority_score=ranked.priority,
        companions=[(agent, activity.companion_share(agent)) for agent, _ in activity.companions],
    )
