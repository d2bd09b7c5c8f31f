"""What the API answers of how the whole is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from lifecycle.status.rules import Health
from triggers.views.base import View
from triggers.views.performance import FiguresView

if TYPE_CHECKING:
    from lifecycle.status.analytics import Analytics
    from lifecycle.status.checks import Status


class ComponentView(View):
    """A part of the system; `reason` is empty when it is healthy."""

    name: str
    health: Health
    reason: str


class StatusView(View):
    """How the system is: as well as its worst part. The uptime is that of the worker that answers."""

    status: Health
    components: Sequence[ComponentView]
    at: datetime
    started_at: datetime
    uptime_s: float

    @classmethod
    def from_status(cls, status: Status) -> StatusView:
        """Return the view of a status."""
        components = [ComponentView.of(component) for component in status.components]
        return cls(
            status=status.health,
            components=components,
            at=status.at,
            started_at=status.started_at,
            uptime_s=status.uptime_s,
        )


class SessionCountsView(View):
    """Sessions started, and ended by reason."""

    started: int
    ended: int
    ended_by_reason: Mapping[str, int]


class ResourcesView(View):
    """The agents as they are now, by state, and the versions that are kept for them at providers."""

    agents: Mapping[str, int]
    versions: int


class AnalyticsView(View):
    """What happened over some UTC days. `events` counts events by name and by the state, stage and reason they tell."""

    first: date
    last: date
    sessions: SessionCountsView
    performance: FiguresView
    performance_by_agent: Mapping[str, FiguresView]
    resources: ResourcesView
    health: StatusView
    events: Mapping[str, int]

    @classmethod
    def from_analytics(cls, found: Analytics, status: Status) -> AnalyticsView:
        """Return the view of what happened, and of how the system is now."""
        sessions = SessionCountsView(
            started=found.sessions_started,
            ended=sum(found.sessions_ended.values()),
            ended_by_reason=found.sessions_ended,
        )
        return cls(
            first=found.first,
            last=found.last,
            sessions=sessions,
            performance=FiguresView.from_summary(found.total),
            performance_by_agent={name: FiguresView.from_summary(each) for name, each in found.agents.items()},
            resources=ResourcesView(agents=found.lifecycle.states, versions=found.lifecycle.versions),
            health=StatusView.from_status(status),
            events=found.events,
        )
