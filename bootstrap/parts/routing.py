"""Composition of routes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.parts.core import Core
    from bootstrap.parts.events import EventServices
    from bootstrap.parts.metrics import MetricServices
    from llmops.routing.router import Router
    from llmops.routing.status import RouteStatuses
    from llmops.routing.store import RouteStore


@dataclass(eq=False)
class RoutingServices:
    """Builds routes, and the router of calls to their deployments."""

    _core: Core
    _metrics: MetricServices
    _events: EventServices

    @cached_property
    def store(self) -> RouteStore:
        """Stores declared routes."""
        from llmops.routing.store import RouteStore

        return RouteStore(self._core.tables, allow_private=self._core.settings.routes_allow_private)

    @cached_property
    def statuses(self) -> RouteStatuses:
        """Reads the status of routes."""
        from llmops.routing.status import RouteStatuses

        return RouteStatuses(self.store, self._core.clock)

    @cached_property
    def router(self) -> Router:
        """Routes this worker's calls to deployments."""
        from kernel.ids import new_id
        from llmops.routing.router import Router

        refresh = timedelta(seconds=self._core.settings.route_refresh)
        count, tell = self._metrics.measures.routed, self._events.journal.record
        router = Router(self.store, self._core.clock, new_id(), refresh=refresh, count=count, tell=tell)
        return self._core.closes(router)
