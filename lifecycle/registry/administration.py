"""What an owner or operator does to agents: declares the change, then tells the agent's actor."""

from __future__ import annotations

from datetime import timedelta

from kernel.clock import Clock
from kernel.errors import Conflict
from kernel.ids import new_id
from lifecycle.configuration.composing import Composer
from lifecycle.configuration.layers import AgentConfig
from lifecycle.configuration.specs import AgentSpec
from lifecycle.loader.resolver import AgentResolver
from lifecycle.registry.agents import AgentState
from lifecycle.registry.catalog import Agent, Catalog, disabled
from lifecycle.registry.operations import Disable, Enable, Ensure, Remove, Restore, Retire, Verify
from lifecycle.registry.signals import AgentSignals


class Administration:
    """Changes agents. What is declared holds at once; the actor follows, and the next use makes sure that it did."""

    def __init__(self, catalog: Catalog, resolver: AgentResolver, composer: Composer, clock: Clock) -> None:
        self._catalog = catalog
        self._resolver = resolver
        self._composer = composer
        self._clock = clock

    async def declare(
        self,
        workspace: str,
        name: str,
        wanted: AgentSpec | AgentConfig,
        signals: AgentSignals,
        if_match: str | None = None,
    ) -> tuple[Agent, bool]:
        """Declare the agent and return it and whether it is new.

        An agent that is there already follows its new spec at once; one that is not is made when it is first used.

        Raises:
            InvalidInput: It names a tool, a template, … that there is not, or makes no valid spec.
            EtagMismatch: `if_match` is given and the current declaration is another one.
            TooLarge: It is more than can be stored.
        """
        config = AgentConfig.of(wanted) if isinstance(wanted, AgentSpec) else wanted
        made = await self._composer.compose(workspace, name, config)
        spec = made.effective.spec
        agent, new = await self._catalog.declare(workspace, name, spec, if_match, config=config, sources=made.versions)
        if agent.state in (AgentState.ACTIVE, AgentState.FAILED) and not agent.ready:
            await signals.send(workspace, name, Ensure(new_id(), agent.declaration.revision, spec))
        self._resolver.forget(workspace, name)
        return agent, new

    async def prewarm(self, workspace: str, name: str, signals: AgentSignals) -> Agent:
        """Have the agent made ready, so that its first run does not wait; return it as it is now.

        Raises:
            NotFound: There is no such agent.
            Conflict: It is disabled.
        """
        agent = await self._enabled(workspace, name)
        if not agent.ready:
            operation = Ensure(new_id(), agent.declaration.revision, agent.declaration.spec)
            await signals.send(workspace, name, operation)
        return agent

    async def retire(self, workspace: str, name: str, signals: AgentSignals) -> Agent:
        """Have the agent removed at the provider, its spec kept; its next use brings it back.

        Raises:
            NotFound: There is no such agent.
            Conflict: It is pinned.
        """
        agent = await self._catalog.get(workspace, name)
        if agent.declaration.spec.pinned:
            raise Conflict(f"Agent {name!r} is pinned; unpin it first.", code="agent_pinned")
        # A use that is told late must not undo what an operator asks for.
        unused_since = self._clock() + timedelta(minutes=1)
        await signals.send(workspace, name, Retire(new_id(), unused_since))
        self._resolver.forget(workspace, name)
        return agent

    async def restore(self, workspace: str, name: str, signals: AgentSignals) -> Agent:
        """Have a retired or failed agent made ready again.

        Raises:
            NotFound: There is no such agent.
            Conflict: It is disabled.
        """
        agent = await self._enabled(workspace, name)
        # As it is declared now, which may be another spec than the one it was retired with.
        await signals.send(workspace, name, Restore(new_id(), agent.declaration.revision, agent.declaration.spec))
        return agent

    async def verify(self, workspace: str, name: str, signals: AgentSignals) -> Agent:
        """Have the actor look whether the agent is still at the provider.

        Raises:
            NotFound: There is no such agent.
        """
        agent = await self._catalog.get(workspace, name)
        await signals.send(workspace, name, Verify(new_id()))
        self._resolver.forget(workspace, name)
        return agent

    async def switch(self, workspace: str, name: str, signals: AgentSignals, *, enabled: bool) -> Agent:
        """Switch the agent on or off. Off, no run of it is accepted, and none is started once workers notice.

        Raises:
            NotFound: There is no such agent.
        """
        agent = await self._catalog.switch(workspace, name, enabled=enabled)
        kind = Enable if enabled else Disable
        await signals.send(workspace, name, kind(new_id(), agent.declaration.revision))
        self._resolver.forget(workspace, name)
        return agent

    async def delete(self, workspace: str, name: str, signals: AgentSignals, if_match: str | None = None) -> Agent:
        """Delete the agent, with everything of ours at the provider. Its sessions and costs stay.

        Raises:
            NotFound: There is no such agent.
            EtagMismatch: `if_match` is given and the current declaration is another one.
        """
        agent = await self._catalog.delete(workspace, name, if_match)
        await signals.send(workspace, name, Remove(new_id(), agent.declaration.revision))
        self._resolver.forget(workspace, name)
        return agent

    async def _enabled(self, workspace: str, name: str) -> Agent:
        agent = await self._catalog.get(workspace, name)
        if not agent.declaration.enabled:
            raise disabled(agent)
        return agent
