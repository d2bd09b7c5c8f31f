"""What happened in a workspace over some days, from counters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from lifecycle.events.daily_counts import DailyEventCounts, handoffs_of
from lifecycle.metrics.current_activity import Activity, Current
from lifecycle.registry.agent_counts import LifecycleTotals
from llmops.facts.performance_summary import PerformanceSummary
from llmops.performance.monitor import PerformanceReader, by_agent

if TYPE_CHECKING:
    from lifecycle.status.workspace_readings import Today

_STARTED = "session.state_changed:started"
_ENDED = "session.state_changed:ended"


@dataclass(frozen=True, slots=True)
class Analytics:
    """Statistics from the first to the last UTC day.

    Attributes:
        first: The first day.
        last: The last day, included.
        sessions_started: Sessions started.
        sessions_ended: Sessions ended, by reason.
        events: Number of events, by name with their state and reason (`DailyEventCounts.between`).
        agents: Performance of the agents that had runs, by name.
        lifecycle: Counts of agents by present state, and of their life-cycle steps so far.
        current: Current activity.
    """

    first: date
    last: date
    sessions_started: int
    sessions_ended: Mapping[str, int]
    events: Mapping[str, int]
    agents: Mapping[str, PerformanceSummary]
    lifecycle: LifecycleTotals
    current: Current

    @property
    def handoffs(self) -> Mapping[tuple[str, str], int]:
        """Number of handoffs, by team and cause."""
        return handoffs_of(self.events)

    @property
    def total(self) -> PerformanceSummary:
        """The performance of all agents together."""
        return sum(self.agents.values(), PerformanceSummary())


class AnalyticsReader:
    """Reads analytics. Their cost depends on the days read, not on what is stored."""

    def __init__(self, daily_counts: DailyEventCounts, monitor: PerformanceReader, activity: Activity) -> None:
        self._daily_counts = daily_counts
        self._monitor = monitor
        self._activity = activity

    async def read(self, today: Today, first: date, last: date) -> Analytics:
        """Return the workspace's statistics from the first to the last day, up to this moment."""
        (current, events), agents, lifecycle = await asyncio.gather(
            self._current_and_events(today, first, last), self._agents(today, first, last), today.agents()
        )
        ended = {
            kind.removeprefix(_ENDED).lstrip(":") or "unknown": count
            for kind, count in sorted(events.items())
            if kind.startswith(_ENDED)
        }
        return Analytics(
            first, last, events.get(_STARTED, 0), ended, dict(sorted(events.items())), dict(agents), lifecycle, current
        )

    async def _current_and_events(self, today: Today, first: date, last: date) -> tuple[Current, Mapping[str, int]]:
        # One after the other: finding out which sessions are open counts what is new.
        current = await self._activity.read(today.workspace, today.at)
        return current, await self._daily_counts.between(today.workspace, first, last)

    async def _agents(self, today: Today, first: date, last: date) -> Sequence[tuple[str, PerformanceSummary]]:
        if first == last == today.at.date():
            return by_agent((await today.figures()).hours)
        return await self._monitor.agents(today.workspace, first, last)
