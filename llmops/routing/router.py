"""Routing the calls of one worker by the state shared between all workers.

A route is read again when used more than `refresh` after the last read, and what this worker has sent is published as
often: two requests per interval, however many calls there are. What all workers must know (an opened breaker, a request
to
pause) is written when it happens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from kernel.errors import AppError, NotFound, ProviderRejected, Unavailable
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from llmops.routing import deployment_health as breaker
from llmops.routing.deployment_choice import NoneFree, Situation, choose
from llmops.routing.deployment_health import BreakerChange, BreakerPolicy, Health
from llmops.routing.deployment_quota import Account, Remaining, Used, minute_of
from llmops.routing.route import CallTarget, Deployment, Route
from llmops.routing.store import Known, RouteStore, Shared
from llmops.routing.worker_usage import Key, WorkerAccounts

if TYPE_CHECKING:
    from kernel.clock import Clock

log = logging.getLogger(__name__)

_UNPUBLISHED_FOR = timedelta(seconds=30)

Outcome = Literal["answered", "throttled", "failed", "denied", "dropped"]
"""Outcome of a try. `denied`: the deployment rejects this app's credentials, or does not have the model."""
Count = Callable[[str, str, str, str], None]
"""Counts the outcome of a try, by workspace, route, deployment and outcome."""
Tell = Callable[[str, str, Event], Awaitable[None]]
"""Appends an event to a workspace's stream, once per key; raises Unavailable where that is not certain."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed at its deployment, so that another deployment is tried.

    Attributes:
        outcome: The outcome for the deployment.
        code: The error code.
        retry_after_s: Pause that the deployment asks for, in seconds; None where it does not.
    """

    outcome: Literal["throttled", "failed", "denied"]
    code: str
    retry_after_s: float | None = None


@dataclass(slots=True)
class RouteCall:
    """A model call that is routed.

    Attributes:
        workspace: Workspace of the route.
        route: Name of the route.
        affinity: Calls with the same value go to the same deployment while possible.
        tokens: Most tokens of the call, input and output.
        tried: Deployments that failed it.
        exhausted: Whether these were all deployments.
    """

    workspace: str
    route: str
    affinity: str
    tokens: int
    tried: set[str] = field(default_factory=set[str])
    exhausted: bool = False


@dataclass(slots=True)
class Try:
    """One try of a call, at one deployment.

    Attributes:
        call: The call.
        deployment: The deployment.
        who: Unique id of the try.
        error: Error raised by the deployment's client; None for none so far.
        done: Whether the deployment has answered.
        tokens: Tokens used, input and output; None where not known.
    """

    call: RouteCall
    deployment: Deployment
    who: str
    error: BaseException | None = None
    done: bool = False
    tokens: int | None = None

    @property
    def target(self) -> CallTarget:
        """The target, for pricing and recording."""
        one = self.deployment
        return CallTarget(one.provider, one.model, f"{self.call.route}/{one.name}", one.rate)


@dataclass(slots=True)
class _View:
    """This worker's view of a route; `others` is what all other workers sent to its deployments."""

    known: Known
    read_at: datetime
    others: Account
    remaining: dict[str, Remaining] = field(default_factory=dict[str, Remaining])


class Router:
    """Chooses deployments, and updates their state by the outcome of calls."""

    def __init__(
        self,
        store: RouteStore,
        clock: Clock,
        worker: str,
        *,
        refresh: timedelta,
        policy: BreakerPolicy | None = None,
        count: Count | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._worker = worker
        self._refresh = refresh
        self._policy = policy or BreakerPolicy()
        self._count = count
        self._tell_of = tell
        self._accounts = WorkerAccounts(store, clock, worker, refresh)
        self._views: dict[Key, _View] = {}
        self._reading: dict[Key, asyncio.Lock] = {}
        self._tries = 0

    async def choose(self, call: RouteCall) -> Try:
        """Return the next try of the call, and count it.

        Raises:
            ProviderRejected: `route_not_found`: there is no such route.
            Unavailable: No deployment not yet tried can take it now (`provider_throttled` where all are busy, else
                `provider_unavailable`); `retry_after_s` says when the first one can.
        """
        key, passed = (call.workspace, call.route), set[str]()
        while True:
            view, now = await self._view(key), self._clock()
            situation = self._situation(key, view, now)
            chosen = choose(view.known.route, situation, call.affinity, call.tokens, now, call.tried | passed)
            if isinstance(chosen, NoneFree):
                raise self._none_free(view.known.route, situation, call, now)
            self._tries += 1
            one = Try(call, chosen.deployment, f"{self._worker}.{self._tries}")
            if chosen.probe and not await self._may_probe(key, one):
                passed.add(one.deployment.name)
                continue
            self._add(one, Used(requests=1, tokens=call.tokens))
            return one

    async def deployments(self, workspace: str, route: str) -> Sequence[Deployment]:
        """Return the route's deployments.

        Raises:
            ProviderRejected: `route_not_found`: there is no such route.
        """
        return (await self._view((workspace, route))).known.route.deployments

    async def answered(self, one: Try) -> None:
        """Record that the deployment has answered."""
        if one.tokens is not None:
            self._add(one, Used(tokens=one.tokens - one.call.tokens))
        self._tell(one, "answered")
        await self._change(one, lambda health: breaker.succeeded(health, one.who))
        await self._share_remaining(one)

    async def failed(self, one: Try, failure: Failure) -> None:
        """Record that the deployment failed the call, which may be tried at another one."""
        one.call.tried.add(one.deployment.name)
        refused = failure.outcome != "failed"  # how much a call used that was cut off is not known
        self._add(one, Used(tokens=-one.call.tokens if refused else 0, failures=1))
        self._tell(one, failure.outcome)
        now = self._clock()

        def step(health: Health) -> Health:
            if failure.outcome == "throttled":
                return breaker.throttled(health, self._policy, now, one.who, failure.retry_after_s)
            certain = failure.outcome == "denied"
            after = breaker.failed(health, self._policy, now, one.who, failure.code, certain=certain)
            if failure.retry_after_s is None:
                return after
            return breaker.throttled(after, self._policy, now, one.who, failure.retry_after_s)

        after = await self._change(one, step)
        event = {"event": "route.failover"}
        log.warning("deployment %s: %s", one.target.deployment, failure.code, extra=event)
        if after.opened and after.failed_at == now:
            opened = {"event": "route.breaker_opened"}
            log.warning("deployment %s gets no calls until %s", one.target.deployment, after.open_until, extra=opened)

    async def dropped(self, one: Try) -> None:
        """Record that the try ended without an outcome, as when its run was cancelled."""
        self._tell(one, "dropped")
        await self._change(one, lambda health: breaker.let_go(health, one.who))

    def reported(self, workspace: str, route: str, deployment: str, remaining: Remaining) -> None:
        """Record the remaining quota that a deployment reports."""
        view = self._views.get((workspace, route))
        if view is not None:
            view.remaining[deployment] = remaining

    async def aclose(self) -> None:
        """Publish what is not published yet."""
        await self._accounts.aclose()

    async def _view(self, key: Key) -> _View:
        """Return the view of a route, at most `refresh` old; older only while the route cannot be read."""
        async with self._reading.setdefault(key, asyncio.Lock()):
            view, now = self._views.get(key), self._clock()
            if view is not None and now - view.read_at < self._refresh:
                return view
            try:
                known = await self._store.read(*key, now)
            except NotFound as error:
                self._views.pop(key, None)
                raise ProviderRejected(f"There is no route {key[1]!r} in this workspace.", code=error.code) from None
            except Unavailable:
                if view is None:
                    raise
                log.warning("route %s cannot be read", key[1], extra={"event": "route.unread"})
                view.read_at = now
                return view
            fresh = _View(known, now, self._accounts.others(known.accounts), view.remaining if view else {})
            self._views[key] = fresh
        # The worker that changed a breaker publishes the event; if it has died, the next one that reads the change
        # does.
        await self._announce(key, [one for one in known.shared.unpublished if one.at + _UNPUBLISHED_FOR <= now])
        return fresh

    def _situation(self, key: Key, view: _View, now: datetime) -> Situation:
        known, own, minute = view.known, self._accounts.own(key), minute_of(now)
        names = [one.name for one in known.route.deployments]
        return Situation(
            known.shared.health,
            {name: view.others.of(name, minute) + own.of(name, minute) for name in names},
            _least(known.shared.remaining, view.remaining, now),
        )

    def _add(self, one: Try, used: Used) -> None:
        key, name = (one.call.workspace, one.call.route), one.deployment.name
        self._accounts.add(key, name, used)
        view = self._views.get(key)
        if view is not None and used.requests and name in view.remaining:
            view.remaining[name] = view.remaining[name].after(used)

    def _tell(self, one: Try, outcome: Outcome) -> None:
        if self._count is not None:
            self._count(one.call.workspace, one.call.route, one.deployment.name, outcome)

    def _none_free(self, route: Route, situation: Situation, call: RouteCall, now: datetime) -> AppError:
        call.exhausted = call.tried >= {one.name for one in route.deployments}
        again = choose(route, situation, call.affinity, call.tokens, now)
        retry_at = again.retry_at if isinstance(again, NoneFree) else None
        wait_s = None if retry_at is None else max(0.0, (retry_at - now).total_seconds())
        well = all(breaker.state(each, now) == "closed" and not each.failures for each in situation.health.values())
        code = "provider_throttled" if well else "provider_unavailable"
        why = ", ".join(_why(one, situation.health.get(one.name, Health()), now) for one in route.deployments)
        msg = f"No deployment of the route {route.name!r} can take the call now: {why}."
        return Unavailable(msg, code=code, retry_after_s=wait_s)

    async def _may_probe(self, key: Key, one: Try) -> bool:
        now, name = self._clock(), one.deployment.name

        def step(shared: Shared) -> Shared | None:
            health = shared.health.get(name, Health())
            if health.prober == one.who:
                return shared  # granted by a write whose response was lost
            if breaker.state(health, now) == "closed":
                return shared
            probing = breaker.probing(health, self._policy, now, one.who)
            return None if probing is None else shared.with_health(name, probing, now)

        try:
            shared = await self._store.change(*key, step)
        except Unavailable:
            return False
        if shared is not None:
            self._learn(key, shared)
        return shared is not None

    async def _change(self, one: Try, step: Callable[[Health], Health]) -> Health:
        """Apply a change of the deployment's health, here and for all workers, and return the health."""
        key, name = (one.call.workspace, one.call.route), one.deployment.name
        view, now = self._views.get(key), self._clock()
        before = view.known.shared.health.get(name, Health()) if view else Health()
        after = step(before)
        if view is None or after == before:
            return after
        try:
            shared = await self._store.change(
                *key, lambda shared: shared.with_health(name, step(shared.health.get(name, Health())), now)
            )
        except Unavailable:
            # This worker knows the change; the others find out by their own calls.
            shared = view.known.shared.with_health(name, after, now)
        assert shared is not None  # noqa: S101 - the step always returns one
        self._learn(key, shared)
        await self._announce(
            key, [found for found in shared.unpublished if (found.deployment, found.at) == (name, now)]
        )
        return shared.health[name]

    async def _announce(self, key: Key, changes: Sequence[BreakerChange]) -> None:
        """Publish the events of breakers' changes, and mark them as published; otherwise another worker does."""
        if not changes or self._tell_of is None:
            return
        workspace, route = key
        try:
            for one in changes:
                data: dict[str, Any] = {"route": route, "deployment": one.deployment}
                if one.until is None:
                    event = Event("route.breaker_closed", data, one.at)
                else:
                    data |= {"why": one.code, "until": one.until.isoformat(), "times": one.opened}
                    event = Event("route.breaker_opened", data, one.at)
                await self._tell_of(workspace, f"route.{route}/{one.deployment}/{one.at.isoformat()}", event)
            shared = await self._store.change(*key, lambda shared: shared.published(changes))
        except Unavailable:
            return
        if shared is not None:
            self._learn(key, shared)

    async def _share_remaining(self, one: Try) -> None:
        """Publish to all workers that a quota is used up, once each time."""
        key, name, now = (one.call.workspace, one.call.route), one.deployment.name, self._clock()
        view = self._views.get(key)
        left = view.remaining.get(name) if view else None
        if view is None or left is None or not _low(left, one.call.tokens) or now >= left.until:
            return
        quota_left = view.known.shared.remaining.get(name)
        if quota_left is not None and now < quota_left.until and _low(quota_left, one.call.tokens):
            return
        try:
            shared = await self._store.change(
                *key, lambda shared: replace(shared, remaining={**shared.remaining, name: left})
            )
        except Unavailable:
            return
        if shared is not None:
            self._learn(key, shared)

    def _learn(self, key: Key, shared: Shared) -> None:
        view = self._views.get(key)
        if view is not None:
            view.known = replace(view.known, shared=shared)


def _why(one: Deployment, health: Health, now: datetime) -> str:
    """Return the reason, as text, why the deployment takes no call."""
    if health.open_until is not None or health.failures:
        return f"{one.name} fails ({health.code})"
    throttled = health.throttled_until is not None and now < health.throttled_until
    return f"{one.name} is throttled" if throttled else f"{one.name} has no quota left"


def _low(left: Remaining, tokens: int) -> bool:
    """Return whether a call like the last one does not fit the remaining quota."""
    return left.spent or (left.tokens is not None and left.tokens < tokens)


def _least(shared: Mapping[str, Remaining], own: Mapping[str, Remaining], now: datetime) -> dict[str, Remaining]:
    """Return the remaining quota by deployment: this worker's last report, or another worker's if that is later."""
    found = {name: left for name, left in own.items() if now < left.until}
    for name, left in shared.items():
        if now < left.until and (name not in found or left.until > found[name].until):
            found[name] = left
    return found
