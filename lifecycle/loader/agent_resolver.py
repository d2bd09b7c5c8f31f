"""Resolves an agent's name to a live agent: from the cache, else from the table, else by its actor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from kernel.errors import AppError, ProviderRejected, Unavailable
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.loader.cache import AgentCache, Cause
from lifecycle.registry.actor_operations import Ensure, KeepVersion
from lifecycle.registry.catalog import Agent, Catalog, disabled
from lifecycle.registry.providers import AgentProvider, Providers, ProviderVersion
from lifecycle.registry.record import AgentState, Failure
from lifecycle.specs.spec import AgentSpec

if TYPE_CHECKING:
    from agent_framework import SupportsAgentRun

    from kernel.clock import Clock
    from lifecycle.loader.cache_records import CacheWatch
    from lifecycle.loader.eviction_policies import PolicyName
    from lifecycle.loader.usage_statistics import Key
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.declarations import Pin

_FIRST_LOOK_S = 0.01
_LONGEST_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """An agent that is ready to run.

    Attributes:
        workspace: Its workspace.
        name: Its name.
        revision: Revision of the declaration it was made from.
        spec: That declaration's spec.
        version: Its version at the provider.
        provider: Its provider.
        framework_agent: The Microsoft Agent Framework agent bound to the version; shared by runs.
        checked_at: When the table last said that it is current.
        trusted_until: Until when it is used without asking again, in seconds as the resolver's `elapsed` counts them.
    """

    workspace: str
    name: str
    revision: int
    spec: AgentSpec
    version: ProviderVersion
    provider: AgentProvider
    framework_agent: SupportsAgentRun
    checked_at: datetime
    trusted_until: float


class AgentResolver:
    """Gets or creates agents. A cache hit takes no I/O; a miss one read; only a first use waits for the actor."""

    def __init__(
        self,
        catalog: Catalog,
        providers: Providers,
        clock: Clock,
        elapsed: Callable[[], float],
        *,
        capacity: int,
        trust_for: timedelta,
        wait_for: timedelta,
        policy: PolicyName = "sieve",
        watch: CacheWatch | None = None,
    ) -> None:
        """Make the resolver.

        Args:
            catalog: Where agents are looked up.
            providers: Where they run.
            clock: The time.
            elapsed: Counts seconds, from any moment: tells how old an entry is, for a quarter of what `clock` takes.
            capacity: The cache's size, in agents.
            trust_for: How long an entry is used without a read.
            wait_for: How long to wait for an agent's actor.
            policy: Name of the cache's eviction policy.
            watch: Records look-ups, loads and removals; None for no records.
        """
        self._watch = watch
        self._catalog = catalog
        self._providers = providers
        self._clock = clock
        self._elapsed = elapsed
        self._trust_for_s = trust_for.total_seconds()
        self._wait_for = wait_for
        self._looks: dict[Key, asyncio.Task[LiveAgent]] = {}
        self.cache: AgentCache[Key, LiveAgent] = AgentCache(capacity, policy, self._removed)

    async def resolve(
        self, workspace: str, name: str, signals: AgentSignals, min_revision: int = 0, *, pin: Pin | None = None
    ) -> LiveAgent:
        """Return the agent, provisioning it if necessary.

        Args:
            workspace: Its workspace.
            name: Its name.
            signals: Sends signals to actors.
            min_revision: The oldest declaration that is acceptable.
            pin: The declaration to use; None for the current one.

        Raises:
            NotFound: The agent does not exist.
            Conflict: It is disabled.
            ProviderRejected: The provider refuses to create it.
            Unavailable: It is not ready in time, or the provider is not available; can be retried.
        """
        live = self.hit(workspace, name, min_revision, pin)
        return await self.look_up(workspace, name, signals, min_revision, pin=pin) if live is None else live

    def hit(self, workspace: str, name: str, min_revision: int = 0, pin: Pin | None = None) -> LiveAgent | None:
        """Return the agent if that takes no I/O, else None; then it is to be looked up. The watch is told which."""
        key = (workspace, name)
        if pin is not None:
            key, min_revision = _key(workspace, name, pin), 0
        live, watch = self.cache.get(key), self._watch
        if live is not None and live.revision >= min_revision and self._elapsed() < live.trusted_until:
            if watch is not None:
                watch.hit(key)
            return live
        if watch is not None:
            watch.missed(key)
        return None

    async def look_up(
        self, workspace: str, name: str, signals: AgentSignals, min_revision: int = 0, *, pin: Pin | None = None
    ) -> LiveAgent:
        """Return the agent as `resolve` does, from the table, whatever the cache holds."""
        key = _key(workspace, name, pin)
        if pin is not None:
            min_revision = 0
        cached = self.cache.peek(key)
        while True:
            joined = key in self._looks
            cached = await self._shared_look(key, cached, signals, pin)
            # One that was under way may have read an older declaration.
            if cached.revision >= min_revision or not joined:
                return cached

    def at_hand(self, workspace: str, name: str, min_revision: int, pin: Pin | None) -> LiveAgent | None:
        """Return the agent if `resolve` would need no I/O for it; else None."""
        live = self.cache.peek(_key(workspace, name, pin))
        fresh = live is not None and self._elapsed() < live.trusted_until
        return live if live is not None and fresh and (pin or live.revision >= min_revision) else None

    @property
    def looking(self) -> bool:
        """Whether any caller waits for an agent."""
        return bool(self._looks)

    async def preload(self, workspace: str, name: str) -> LiveAgent | None:
        """Open an agent that no caller requested, if it is ready at its provider; return it if it is cached.

        Never provisions an agent or evicts one; skips agents that a look-up is opening.

        Raises:
            AppError: It cannot be read or opened.
        """
        key = _key(workspace, name, None)
        if key in self.cache or key in self._looks or self.cache.full:
            return None
        agent = await self._catalog.find(workspace, name)
        record = agent.record if agent is not None and agent.ready else None
        if agent is None or record is None or record.version is None or record.spec is None:
            return None
        live = await self._open(agent, record.version, record.spec, record.revision, None)
        if key in self._looks or key in self.cache or not self.cache.put_if_room(key, live):
            return None
        if self._watch is not None:
            self._watch.loaded(key, self._clock().timestamp(), preload=True)
        return live

    def forget(self, workspace: str, name: str, pin: Pin | None = None) -> None:
        """Remove the agent from the cache, so that the next `resolve` reads the table."""
        self.cache.drop(_key(workspace, name, pin))

    async def retired_or_restored_since(self, live: LiveAgent) -> bool:
        """Return whether the agent was retired or restored after the table was last read for it."""
        agent = await self._catalog.find(live.workspace, live.name)
        record = agent.record if agent else None
        return record is not None and (record.state is not AgentState.ACTIVE or record.since >= live.checked_at)

    async def _shared_look(
        self, key: Key, cached: LiveAgent | None, signals: AgentSignals, pin: Pin | None
    ) -> LiveAgent:
        """Look the agent up once for all concurrent runs of this process, with one signal and one wait."""
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = asyncio.create_task(self._look_up(key, cached, signals, pin))
            look.add_done_callback(partial(self._looked, key))
        return await asyncio.shield(look)  # cancelling one run does not affect the others

    def _looked(self, key: Key, look: asyncio.Task[LiveAgent]) -> None:
        del self._looks[key]
        if not look.cancelled():
            look.exception()  # marked as retrieved, even if no caller is left

    async def _look_up(self, key: Key, cached: LiveAgent | None, signals: AgentSignals, pin: Pin | None) -> LiveAgent:
        agent = await self._catalog.get(key[0], key[1].partition("!")[0])
        if not agent.declaration.enabled:
            self.cache.drop(key)
            raise disabled(agent)
        if pin is not None:
            version = await self._kept(agent, pin, signals)
            live = await self._open(agent, version, pin.spec, pin.revision, cached)
        else:
            if not agent.ready:
                agent = await self._ensured(agent, signals)
            record = agent.record
            if record is None or record.version is None or record.spec is None:
                msg = "resolved an agent without a version"
                raise RuntimeError(msg)
            live = await self._open(agent, record.version, record.spec, record.revision, cached)
        new = key not in self.cache
        self.cache.put(key, live)
        if new and self._watch is not None:
            self._watch.loaded(key, self._clock().timestamp(), preload=False)
        return live

    def _removed(self, key: Key, _live: LiveAgent, cause: Cause) -> None:
        if self._watch is not None:
            self._watch.removed(key, cause)

    async def _ensured(self, agent: Agent, signals: AgentSignals) -> Agent:
        deadline = self._clock() + self._wait_for
        pause = _FIRST_LOOK_S
        operation: Ensure | None = None
        while True:
            if operation is None or operation.revision < agent.declaration.revision:
                operation = Ensure(new_id(), agent.declaration.revision, agent.declaration.spec)
                await signals.send(agent.workspace, agent.name, operation)
            agent = await self._catalog.get(agent.workspace, agent.name)
            if not agent.declaration.enabled:
                raise disabled(agent)
            if agent.ready:
                return agent
            record = agent.record
            if record is not None and record.failure is not None and operation.operation_id in record.applied:
                raise _error(record.failure)  # of this operation, or of a later one
            await self._pause(agent, deadline, pause)
            pause = min(pause * 2, _LONGEST_LOOK_S)

    async def _kept(self, agent: Agent, pin: Pin, signals: AgentSignals) -> ProviderVersion:
        """Return the version of the pinned declaration; the actor creates it again where it is missing."""
        if (version := _holding(agent, pin)) is not None:
            return version
        deadline = self._clock() + self._wait_for
        pause = _FIRST_LOOK_S
        if agent.record is None or agent.record.retired:
            agent = await self._ensured(agent, signals)  # a retired agent's versions cannot run
        operation = KeepVersion(new_id(), pin.spec)
        await signals.send(agent.workspace, agent.name, operation)
        while True:
            agent = await self._catalog.get(agent.workspace, agent.name)
            if not agent.declaration.enabled:
                raise disabled(agent)
            if (version := _holding(agent, pin)) is not None:
                return version
            record = agent.record
            if record is not None and record.keep_failure is not None and operation.operation_id in record.applied:
                raise _error(record.keep_failure)
            await self._pause(agent, deadline, pause)
            pause = min(pause * 2, _LONGEST_LOOK_S)

    async def _pause(self, agent: Agent, deadline: datetime, pause_s: float) -> None:
        if self._clock() >= deadline:
            msg = f"Agent {agent.name!r} is still being provisioned."
            raise Unavailable(msg, code="agent_not_ready", retry_after_s=1)
        await asyncio.sleep(pause_s)

    async def _open(
        self, agent: Agent, version: ProviderVersion, spec: AgentSpec, revision: int, cached: LiveAgent | None
    ) -> LiveAgent:
        now, trusted_until = self._clock(), self._elapsed() + self._trust_for_s
        if cached is not None and (cached.version, cached.spec) == (version, spec):
            return replace(cached, revision=revision, checked_at=now, trusted_until=trusted_until)
        provider = self._providers[spec.provider]
        # In a thread: a process's first agent imports its SDK, which takes up to a second.
        opened = await asyncio.to_thread(provider.open, version, spec)
        return LiveAgent(agent.workspace, agent.name, revision, spec, version, provider, opened, now, trusted_until)


def _key(workspace: str, name: str, pin: Pin | None) -> Key:
    return (workspace, name if pin is None else f"{name}!{pin.fingerprint}")  # names cannot contain `!`


def _holding(agent: Agent, pin: Pin) -> ProviderVersion | None:
    return agent.record.holding(pin.fingerprint) if agent.record else None


def _error(failure: Failure) -> AppError:
    if failure.retriable:
        return Unavailable(failure.detail, code=failure.code, retry_after_s=failure.retry_after_s)
    return ProviderRejected(failure.detail, code=failure.code)
