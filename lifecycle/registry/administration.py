"""What owners and operators do to agents: stores the change in the declaration, then signals the agent's actor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from kernel.errors import Conflict
from kernel.ids import new_id
from lifecycle.configuration.layers import AgentConfig
from lifecycle.registry.actor_operations import Disable, Enable, Ensure, Remove, Restore, Retire, Verify
from lifecycle.registry.audit import AuditStep
from lifecycle.registry.catalog import Agent, Catalog, disabled
from lifecycle.registry.record import AgentState, retained
from lifecycle.specs.spec import AgentSpec

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.configuration.sources import Composer
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.mcp_offers import OfferedTools


class Administration:
    """Changes agents. A declaration is valid at once; the actor follows, and the next use makes sure that it did."""

    def __init__(
        self,
        catalog: Catalog,
        composer: Composer,
        clock: Clock,
        *,
        grace: timedelta,
        forget: Callable[[str, str], None],
        offers: OfferedTools,
    ) -> None:
        """Set the collaborators.

        Args:
            catalog: Stores declarations.
            composer: Composes specs.
            clock: Gives the time.
            grace: How long a retired agent's versions stay at its provider.
            forget: Removes an agent from this process's caches.
            offers: Records the tools that its MCP servers offer.
        """
        self._catalog = catalog
        self._composer = composer
        self._clock = clock
        self._grace = grace
        self._forget = forget
        self._offers = offers

    async def declare(
        self,
        workspace: str,
        name: str,
        wanted: AgentSpec | AgentConfig,
        signals: AgentSignals,
        if_match: str | None = None,
        *,
        by: str = "",
        step: AuditStep = AuditStep.DECLARED,
    ) -> tuple[Agent, bool]:
        """Declare the agent, and return it and whether it is new.

        An existing agent is updated at once; a new one is created when it is first used.

        Raises:
            InvalidInput: It refers to a tool, a template, … that does not exist, or its spec is not valid.
            EtagMismatch: `if_match` is given and the declaration was changed since.
            TooLarge: It does not fit a row.
        """
        config = AgentConfig.of(wanted) if isinstance(wanted, AgentSpec) else wanted
        made = await self._composer.compose(workspace, name, config)
        spec = made.effective.spec
        agent, new = await self._catalog.declare(
            workspace, name, spec, if_match, config=config, sources=made.versions, by=by, step=step
        )
        if agent.state in (AgentState.ACTIVE, AgentState.FAILED) and not agent.ready:
            await signals.send(workspace, name, Ensure(new_id(), agent.declaration.revision, spec))
        self._forget(workspace, name)
        await self._offers.note(workspace, name, spec)
        return agent, new

    async def prewarm(self, workspace: str, name: str, signals: AgentSignals) -> Agent:
        """Have the agent created now, so that its first run does not wait; return its present state.

        Raises:
            NotFound: The agent does not exist.
            Conflict: It is disabled.
        """
        agent = await self._enabled(workspace, name)
        if not agent.ready:
            operation = Ensure(new_id(), agent.declaration.revision, agent.declaration.spec)
            await signals.send(workspace, name, operation)
        return agent

    async def roll_back(
        self,
        workspace: str,
        name: str,
        spec: AgentSpec,
        signals: AgentSignals,
        if_match: str | None = None,
        *,
        by: str = "",
    ) -> Agent:
        """Declare an earlier spec of the agent again (`lifecycle.registry.versions`); an existing version is reused.

        Raises:
            NotFound: The agent does not exist.
            InvalidInput: The spec refers to a tool that no longer exists.
            EtagMismatch: `if_match` is given and the declaration was changed since.
        """
        await self._catalog.get(workspace, name)
        exactly = AgentConfig.exactly(spec)  # composing it again could give another spec
        agent, _ = await self.declare(workspace, name, exactly, signals, if_match, by=by, step=AuditStep.ROLLED_BACK)
        return agent

    async def retire(
        self, workspace: str, name: str, signals: AgentSignals, grace: timedelta | None = None, by: str = ""
    ) -> Agent:
        """Retire the agent: its versions are deleted after a grace period, its spec is kept, its next use restores it.

        Args:
            workspace: Its workspace.
            name: Its name.
            signals: Sends signals to actors.
            grace: How long its versions stay at the provider; None for the app's setting.
            by: Who asks for it; empty if unknown.

        Raises:
            NotFound: The agent does not exist.
            Conflict: It is pinned (code `agent_pinned`).
        """
        agent = await self._catalog.get(workspace, name)
        if retained(agent.declaration.spec):
            raise Conflict(f"Agent {name!r} is pinned, or labelled to be kept; unpin it first.", code="agent_pinned")
        # A use that is reported late must not undo what an operator asks for.
        unused_since = self._clock() + timedelta(minutes=1)
        grace_s = int((self._grace if grace is None else grace).total_seconds())
        await signals.send(workspace, name, Retire(new_id(), unused_since, grace_s, by=by, why="by request"))
        self._forget(workspace, name)
        return agent

    async def restore(self, workspace: str, name: str, signals: AgentSignals, by: str = "") -> Agent:
        """Have a retired or failed agent created again.

        Raises:
            NotFound: The agent does not exist.
            Conflict: It is disabled.
        """
        agent = await self._enabled(workspace, name)
        # With the current declaration, which may differ from the one it was retired with.
        declared = agent.declaration
        await signals.send(workspace, name, Restore(new_id(), declared.revision, declared.spec, by=by))
        return agent

    async def verify(self, workspace: str, name: str, signals: AgentSignals, by: str = "") -> Agent:
        """Have the actor check whether the version at the provider is unchanged, and create it again if it is not.

        Raises:
            NotFound: The agent does not exist.
        """
        agent = await self._catalog.get(workspace, name)
        await signals.send(workspace, name, Verify(new_id(), by=by))
        self._forget(workspace, name)
        return agent

    async def switch(self, workspace: str, name: str, signals: AgentSignals, *, enabled: bool, by: str = "") -> Agent:
        """Enable or disable the agent. While disabled, its runs are refused, and none is started once workers notice.

        Raises:
            NotFound: The agent does not exist.
        """
        agent = await self._catalog.switch(workspace, name, enabled=enabled, by=by)
        kind = Enable if enabled else Disable
        await signals.send(workspace, name, kind(new_id(), agent.declaration.revision))
        self._forget(workspace, name)
        return agent

    async def delete(
        self, workspace: str, name: str, signals: AgentSignals, if_match: str | None = None, by: str = ""
    ) -> Agent:
        """Delete the agent and its versions made by this app. Its sessions and costs stay.

        Raises:
            NotFound: The agent does not exist.
            EtagMismatch: `if_match` is given and the declaration was changed since.
        """
        agent = await self._catalog.delete(workspace, name, if_match, by)
        await signals.send(workspace, name, Remove(new_id(), agent.declaration.revision))
        self._forget(workspace, name)
        return agent

    async def _enabled(self, workspace: str, name: str) -> Agent:
        agent = await self._catalog.get(workspace, name)
        if not agent.declaration.enabled:
            raise disabled(agent)
        return agent
