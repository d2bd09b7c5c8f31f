"""What happened in a workspace over some days, from what is counted as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from kernel.clock import Clock
from lifecycle.events.daily_counts import DailyEventCounts, handoffs_of
from lifecycle.measures.activity import Activity, Current
from lifecycle.registry.counts import LifecycleCounts, LifecycleTotals
from llmops.facts.summary import PerformanceSummary
from llmops.performance.monitor import PerformanceReader

_STARTED = "session.state_changed:started"
_ENDED = "session.state_changed:ended"


@dataclass(frozen=True, slots=True)
class Analytics:
    """What happened from the first to the last UTC day.

    Attributes:
        first: The first day.
        last: The last day, included.
        sessions_started: Sessions started.
        sessions_ended: Sessions ended, by reason.
        events: How often what happened, by the event and what it tells.
        agents: What the agents that were asked did, by name.
        lifecycle: The agents as they are now, and what became of them so far.
        current: What goes on now.
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
        """How many handoffs there were, by team and by who or what had them."""
        return handoffs_of(self.events)

    @property
    def total(self) -> PerformanceSummary:
        """What all agents did together."""
        return sum(self.agents.values(), PerformanceSummary())


class AnalyticsReader:
    """Reads what happened. Costs what the days asked for hold, not what is stored."""

    def __init__(
        self,
        daily_counts: DailyEventCounts,
        monitor: PerformanceReader,
        counts: LifecycleCounts,
        activity: Activity,
        clock: Clock,
    ) -> None:
        self._daily_counts = daily_counts
        self._monitor = monitor
        self._counts = counts
        self._activity = activity
        self._clock = clock

    async def read(self, workspace: str, first: date, last: date) -> Analytics:
        """Return what happened from the first to the last day, up to this moment."""
        now = self._clock()
        current, agents, lifecycle = await asyncio.gather(
            self._activity.read(workspace, now),
            self._monitor.agents(workspace, first, last),
            self._counts.read(workspace, now, 1),
        )
        events = await self._daily_counts.between(workspace, first, last)  # counted up to now by the first of these
        ended = {
            kind.removeprefix(_ENDED).lstrip(":") or "unknown": count
            for kind, count in sorted(events.items())
            if kind.startswith(_ENDED)
        }
        return Analytics(
            first, last, events.get(_STARTED, 0), ended, dict(sorted(events.items())), dict(agents), lifecycle, current
        )
