"""The status of routes, from the shared state of their deployments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from llmops.routing import deployment_health as breaker
from llmops.routing.deployment_health import Health
from llmops.routing.deployment_quota import KEPT_MINUTES, Remaining, Used, fits, minute_of, together
from llmops.routing.route import Deployment

if TYPE_CHECKING:
    from kernel.clock import Clock
    from llmops.routing.store import Known, RouteStore


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """The status of a deployment of a route.

    Attributes:
        deployment: The deployment.
        state: State of its circuit breaker.
        health: Details of its health.
        minute: What all workers sent to it in the current minute.
        recent: What they sent to it in the last minutes, including the current one.
        share: Its share of the route's calls in that time, 0-1; None without calls.
        remaining: The remaining quota it last reported, while that is valid.
        available: Whether it takes calls now.
        throttled: Whether it asked to receive no calls for now.
    """

    deployment: Deployment
    state: breaker.State
    health: Health
    minute: Used
    recent: Used
    share: float | None
    remaining: Remaining | None
    available: bool
    throttled: bool


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """The status of a route.

    Attributes:
        name: Name of the route.
        etag: ETag of its declaration.
        deployments: The status of each deployment, in the order declared.
    """

    name: str
    etag: str
    deployments: Sequence[DeploymentStatus]


class RouteStatuses:
    """Reads the status of routes."""

    def __init__(self, store: RouteStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of(self, workspace: str, name: str) -> RouteStatus:
        """Return the status of the route.

        Raises:
            NotFound: `route_not_found`: there is no such route.
        """
        now = self._clock()
        return self._status(await self._store.read(workspace, name, now), now)

    async def all(self, workspace: str) -> Sequence[RouteStatus]:
        """Return the status of every route, by name."""
        now = self._clock()
        return [self._status(known, now) for known in await self._store.read_all(workspace, now)]

    def _status(self, known: Known, now: datetime) -> RouteStatus:
        account, minute = together(known.accounts.values()), minute_of(now)
        minutes = [at for at in account.minutes if minute - KEPT_MINUTES < at <= minute]
        recent = {
            one.name: sum((account.of(one.name, at) for at in minutes), Used()) for one in known.route.deployments
        }
        total = sum(used.requests for used in recent.values())
        found: list[DeploymentStatus] = []
        for one in known.route.deployments:
            health = known.shared.health.get(one.name, Health())
            remaining, used = known.shared.remaining.get(one.name), account.of(one.name, minute)
            found.append(
                DeploymentStatus(
                    one,
                    breaker.state(health, now),
                    health,
                    used,
                    recent[one.name],
                    recent[one.name].requests / total if total else None,
                    remaining if remaining is not None and now < remaining.until else None,
                    breaker.free_at(health, now) is None and fits(one, used, remaining, 0, now),
                    health.throttled_until is not None and now < health.throttled_until,
                )
            )
        return RouteStatus(known.route.name, known.etag, found)
