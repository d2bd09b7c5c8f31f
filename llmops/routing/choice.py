"""Which deployment of a route a call goes to: pure rules over health and quota.

Of those that can take the call now, the lowest priority number goes first. Among equals it is weighted rendezvous
hashing on the session (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; weights by
-w/ln(h), Schindelhauer and Schomaker 2005): the turns of a conversation go to the same deployment, whose prompt cache
knows them, shares follow the weights, and one that falls out moves only its own sessions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from llmops.routing.health import Health, free_at, state
from llmops.routing.model import Deployment, Route
from llmops.routing.quota import Remaining, Used, fits, free_from


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a route's deployments.

    Attributes:
        health: By deployment; one that is not there is well.
        used: What each was given in the current minute.
        remaining: What each says is left.
    """

    health: Mapping[str, Health] = field(default_factory=dict[str, Health])
    used: Mapping[str, Used] = field(default_factory=dict[str, Used])
    remaining: Mapping[str, Remaining] = field(default_factory=dict[str, Remaining])


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where a call goes.

    Attributes:
        deployment: The deployment.
        probe: Whether it is the one call that its half-open breaker lets through.
    """

    deployment: Deployment
    probe: bool = False


@dataclass(frozen=True, slots=True)
class NoneFree:
    """No deployment can take the call.

    Attributes:
        retry_at: When the first of them can, as far as one can know; None where all were tried.
    """

    retry_at: datetime | None


def choose(
    route: Route, situation: Situation, affinity: str, tokens: int, now: datetime, tried: Collection[str] = ()
) -> Chosen | NoneFree:
    """Return the deployment that a call goes to, if there is one.

    Args:
        route: The route.
        situation: What is known of its deployments.
        affinity: Calls with the same go to the same deployment while they can.
        tokens: What the call may take, in and out.
        now: The current time.
        tried: Deployments that this call does not go to (again).
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
