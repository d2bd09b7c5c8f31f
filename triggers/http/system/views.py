"""Response models of status, health and analytics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from lifecycle.metrics.current_activity import Current
from lifecycle.registry.agent_counts import LifecycleTotals
from lifecycle.status.analytics import Analytics
from lifecycle.status.health_checks import Status
from lifecycle.status.health_rules import Health
from triggers.http.agents.views import AgentStatsView
from triggers.http.base_models import Page, View
from triggers.http.performance.views import FiguresView


class ComponentView(View):
    """A component of the system; `reason` is empty when it is healthy."""

    name: str
    health: Health
    reason: str


class StatusView(View):
    """The status of the system, which is that of its worst component. The uptime is that of the responding worker."""

    status: Health
    components: Sequence[ComponentView]
    at: datetime
    started_at: datetime
    uptime_s: float

    @classmethod
    def from_status(cls, status: Status) -> StatusView:
        """Return the view of a status."""
        return cls.of(status, status=status.health)


class SessionCountsView(View):
    """Sessions open now; those started, and those ended by reason, in the days asked for."""

    open: int
    started: int
    ended: int
    ended_by_reason: Mapping[str, int]


class RunCountsView(View):
    """Runs that run now, as each worker last said, and those that wait, whatever for.

    Of those that wait, `held` are kept by their session: it is paused, or another run of it waits. How long the first
    has waited is said of those that wait for a budget, or for an approval to go beyond a share of one.
    """

    running: int
    waiting: int
    held: int
    longest_wait_s: float

    @classmethod
    def from_current(cls, current: Current) -> RunCountsView:
        """Return the view of what goes on."""
        return cls(
            running=current.runs_running,
            waiting=current.waiting.count,
            held=current.held,
            longest_wait_s=round(current.waiting.longest_s, 3),
        )


class SystemStatusView(StatusView):
    """How the system is, and what goes on in the workspace; null where that cannot be said now."""

    sessions_open: int | None
    runs: RunCountsView | None

    @classmethod
    def of_both(cls, status: Status, current: Current | None) -> SystemStatusView:
        """Return the view of a status and of what goes on."""
        runs = RunCountsView.from_current(current) if current else None
        return cls.of(status, status=status.health, sessions_open=current and current.sessions_open, runs=runs)


class ResourcesView(View):
    """Agents by current state, and the versions kept for them at providers."""

    agents: Mapping[str, int]
    versions: int


class HandoffCountsView(View):
    """Numbers of handoffs: of all teams, by team, and by cause."""

    total: int
    by_team: Mapping[str, int]
    by: Mapping[str, int]

    @classmethod
    def from_counts(cls, counts: Mapping[tuple[str, str], int]) -> HandoffCountsView:
        """Return the view of counts by team and by cause."""
        teams, by = Counter[str](), Counter[str]()
        for (team, who), count in sorted(counts.items()):
            teams[team] += count
            by[who] += count
        return cls(total=teams.total(), by_team=teams, by=by)


class AnalyticsView(View):
    """Analytics of some UTC days. `events` counts events by name, and by their state, stage and reason."""

    first: date
    last: date
    sessions: SessionCountsView
    runs: RunCountsView
    handoffs: HandoffCountsView
    performance: FiguresView
    performance_by_agent: Mapping[str, FiguresView]
    resources: ResourcesView
    health: StatusView
    events: Mapping[str, int]

    @classmethod
    def from_analytics(cls, found: Analytics, status: Status) -> AnalyticsView:
        """Return the view of analytics, with the current status."""
        current = found.current
        sessions = SessionCountsView(
            open=current.sessions_open,
            started=found.sessions_started,
            ended=sum(found.sessions_ended.values()),
            ended_by_reason=found.sessions_ended,
        )
        return cls.of(
            found,
            sessions=sessions,
            runs=RunCountsView.from_current(current),
            handoffs=HandoffCountsView.from_counts(found.handoffs),
            performance=FiguresView.from_summary(found.total),
            performance_by_agent={name: FiguresView.from_summary(each) for name, each in found.agents.items()},
            resources=ResourcesView(agents=found.lifecycle.states, versions=found.lifecycle.versions),
            health=StatusView.from_status(status),
        )


class HourView(View):
    """Steps of agents' audit trails in a UTC hour, such as `2026-11-21T08`."""

    hour: str
    steps: Mapping[str, int]


class MadeView(View):
    """Number of versions made of an agent in the hours shown."""

    agent: str
    versions: int


class LifecycleView(View):
    """The life cycle of a workspace's agents: in total, in the last 24 hours, and at the latest drift check."""

    agents: Mapping[str, int]
    versions: int
    mean_active_age_s: float
    mean_provisioning_s: float | None
    steps: Mapping[str, int]
    hours: Sequence[HourView]
    most_made: Sequence[MadeView]
    drift: Mapping[str, int]

    @classmethod
    def from_counts(cls, lifecycle: LifecycleTotals, drift: Mapping[str, int]) -> LifecycleView:
        """Return the view of the counts."""
        times = lifecycle.provisioned
        return cls(
            agents=lifecycle.states,
            versions=lifecycle.versions,
            mean_active_age_s=round(lifecycle.active_age_s, 3),
            mean_provisioning_s=round(lifecycle.provisioning_s / times, 3) if times else None,
            steps=lifecycle.steps,
            hours=[HourView(hour=hour, steps=steps) for hour, steps in lifecycle.hours],
            most_made=[MadeView(agent=agent, versions=versions) for agent, versions in lifecycle.made[:10]],
            drift=drift,
        )


class HealthView(View):
    """Whether the app's dependencies can be reached; `warnings` do not make it unhealthy."""

    status: str
    components: Mapping[str, str]
    warnings: Sequence[str]


class ProblemView(View):
    """An error (RFC 9457); `code` is stable, `errors` lists the invalid fields."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, Any]] = ()


class StatsPage(Page[AgentStatsView]):
    """Statistics of agents by name, and of all of them together."""

    lifecycle: LifecycleView
