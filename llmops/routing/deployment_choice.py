"""Choosing the deployment of a call: pure rules over health and quota.

Of the deployments that can take the call now, the lowest priority number is chosen. Among equals, weighted rendezvous
hashing on the session decides (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; weights
by
-w/ln(h), Schindelhauer and Schomaker 2005): the calls of a session go to the same deployment, whose prompt cache has
them;
shares follow the weights; and a deployment that fails moves only its own sessions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import field
from datetime import datetime

from kernel.lazy_dataclass import dataclass
from llmops.routing.deployment_health import Health, free_at, state
from llmops.routing.deployment_quota import Remaining, Used, fits, free_from
from llmops.routing.route import Deployment, Route


@dataclass(frozen=True, slots=True)
class Situation:
    """The state of a route's deployments.

    Attributes:
        health: By deployment; a missing one is healthy.
        used: What each was sent in the current minute.
        remaining: The remaining quota each reported.
    """

    health: Mapping[str, Health] = field(default_factory=dict[str, Health])
    used: Mapping[str, Used] = field(default_factory=dict[str, Used])
    remaining: Mapping[str, Remaining] = field(default_factory=dict[str, Remaining])


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chosen deployment.

    Attributes:
        deployment: The deployment.
        probe: Whether it is the single call that a half-open circuit breaker allows.
    """

    deployment: Deployment
    probe: bool = False


@dataclass(frozen=True, slots=True)
class NoneFree:
    """No deployment can take the call.

    Attributes:
        retry_at: Estimate of when the first of them can; None where all were tried.
    """

    retry_at: datetime | None


def choose(
    route: Route, situation: Situation, affinity: str, tokens: int, now: datetime, tried: Collection[str] = ()
) -> Chosen | NoneFree:
    """Return the deployment for a call, or why there is none.

    Args:
        route: The route.
        situation: The state of its deployments.
        affinity: Calls with the same value go to the same deployment while possible.
        tokens: Most tokens of the call, input and output.
        now: The current time.
        tried: Deployments excluded from the choice.
    """
    waits: list[datetime] = []
    free: list[Deployment] = []
    for one in route.deployments:
        if one.name in tried:
            continue
        at = _blocked_until(one, situation, tokens, now)
        if at is None:
            free.append(one)
        else:
            waits.append(at)
    if not free:
        return NoneFree(min(waits, default=None))
    first = min(one.priority for one in free)
    best = max((one for one in free if one.priority == first), key=lambda one: _rank(one, affinity))
    health = situation.health.get(best.name, Health())
    return Chosen(best, probe=state(health, now) == "half_open")


def _blocked_until(one: Deployment, situation: Situation, tokens: int, now: datetime) -> datetime | None:
    at = free_at(situation.health.get(one.name, Health()), now)
    if at is not None:
        return at
    used, remaining = situation.used.get(one.name, Used()), situation.remaining.get(one.name)
    return None if fits(one, used, remaining, tokens, now) else free_from(one, used, remaining, tokens, now)


def _rank(one: Deployment, affinity: str) -> tuple[float, str]:
    digest = hashlib.sha256(f"{affinity}\n{one.name}".encode()).digest()
    share = (int.from_bytes(digest[:8]) + 0.5) / 2**64  # above 0 and below 1
    return -one.weight / math.log(share), one.name
