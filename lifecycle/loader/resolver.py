"""From an agent's name to something that can be run: the cache, then the table, then its actor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from kernel.clock import Clock
from kernel.errors import AppError, ProviderRejected, Unavailable
from kernel.ids import new_id
from lifecycle.configuration.specs import AgentSpec
from lifecycle.loader.cache import SieveCache
from lifecycle.registry.agents import Failure
from lifecycle.registry.catalog import Agent, Catalog, disabled
from lifecycle.registry.operations import Ensure
from lifecycle.registry.providers import AgentProvider, Providers, ProviderVersion
from lifecycle.registry.signals import AgentSignals

if TYPE_CHECKING:
    from agent_framework import SupportsAgentRun

_FIRST_LOOK_S = 0.01
_LONGEST_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """An agent ready to run.

    Attributes:
        workspace: Its workspace.
        name: Its name.
        revision: The declaration it was made from.
        spec: That declaration's spec.
        version: Its version at the provider.
        provider: Where it runs.
        framework_agent: The Microsoft Agent Framework agent bound to the version; shared by runs.
        checked_at: When the table last said that it is current.
    """

    workspace: str
    name: str
    revision: int
    spec: AgentSpec
    version: ProviderVersion
    provider: AgentProvider
    framework_agent: SupportsAgentRun
    checked_at: datetime


class AgentResolver:
    """Get-or-create of agents. A hit costs no I/O; a miss one read; only a first use waits for the actor."""

    def __init__(
        self,
        catalog: Catalog,
        providers: Providers,
        clock: Clock,
        *,
        capacity: int,
        trust_for: timedelta,
        wait_for: timedelta,
    ) -> None:
        """Set the cache's size, how long an entry is trusted without a read, and how long to wait for the actor."""
        self._catalog = catalog
        self._providers = providers
        self._clock = clock
        self._trust_for = trust_for
        self._wait_for = wait_for
        self._looks: dict[tuple[str, str], asyncio.Task[LiveAgent]] = {}
        self.cache: SieveCache[tuple[str, str], LiveAgent] = SieveCache(capacity)

    async def resolve(self, workspace: str, name: str, signals: AgentSignals, min_revision: int = 0) -> LiveAgent:
        """Return the agent, provisioned if it was not.

        Args:
            workspace: Its workspace.
            name: Its name.
            signals: The way to its actor.
            min_revision: The oldest declaration that will do.

        Raises:
            NotFound: There is no such agent.
            Conflict: It is disabled.
            ProviderRejected: The provider refuses to make it.
            Unavailable: It is not ready in time, or the provider is not available; try again.
        """
        key = (workspace, name)
        live = self.cache.get(key)
        if live is not None and live.revision >= min_revision and self._clock() < live.checked_at + self._trust_for:
            return live
        while True:
            joined = key in self._looks
            live = await self._shared_look(key, live, signals)
            if live.revision >= min_revision or not joined:  # one that was under way may have read an older declaration
                return live

    def forget(self, workspace: str, name: str) -> None:
        """Drop the cached agent, so that the next resolve asks the table."""
        self.cache.drop((workspace, name))

    async def _shared_look(self, key: tuple[str, str], cached: LiveAgent | None, signals: AgentSignals) -> LiveAgent:
        """Look up once, with one signal and one wait, for however many runs of this process ask meanwhile."""
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = asyncio.create_task(self._look_up(key, cached, signals))
            look.add_done_callback(partial(self._looked, key))
        return await asyncio.shield(look)  # one run that is cancelled takes nothing from the others

    def _looked(self, key: tuple[str, str], look: asyncio.Task[LiveAgent]) -> None:
        del self._looks[key]
        if not look.cancelled():
            look.exception()  # seen, even when nobody is left to raise it to

    async def _look_up(self, key: tuple[str, str], cached: LiveAgent | None, signals: AgentSignals) -> LiveAgent:
        agent = await self._catalog.get(*key)
        if not agent.declaration.enabled:
            self.cache.drop(key)
            raise disabled(agent)
        if not agent.ready:
            agent = await self._ensured(agent, signals)
        live = await self._open(agent, cached)
        self.cache.put(key, live)
        return live

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
                raise _error(record.failure)  # of this operation or of a later worker's that tried again
            if self._clock() >= deadline:
                msg = f"Agent {agent.name!r} is still being provisioned."
                raise Unavailable(msg, code="agent_not_ready", retry_after_s=1)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_LOOK_S)

    async def _open(self, agent: Agent, cached: LiveAgent | None) -> LiveAgent:
        record, now = agent.record, self._clock()
        if record is None or record.version is None or record.spec is None:
            msg = "resolved an agent without a version"
            raise RuntimeError(msg)
        if cached is not None and (cached.version, cached.spec) == (record.version, record.spec):
            return replace(cached, revision=record.revision, checked_at=now)
        provider = self._providers[record.spec.provider]
        # In a thread: a process's first agent imports its SDK, for up to a second.
        opened = await asyncio.to_thread(provider.open, record.version, record.spec)
        return LiveAgent(
            agent.workspace, agent.name, record.revision, record.spec, record.version, provider, opened, now
        )


def _error(failure: Failure) -> AppError:
    kind = Unavailable if failure.retriable else ProviderRejected
    return kind(failure.detail, code=failure.code)
