"""What an owner or operator does to agents: declares the change, then tells the agent's actor."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from kernel.clock import Clock
from kernel.errors import Conflict
from kernel.ids import new_id
from lifecycle.configuration.composing import Composer
from lifecycle.configuration.layers import AgentConfig
from lifecycle.registry.audit import AuditStep
from lifecycle.registry.catalog import Agent, Catalog, disabled
from lifecycle.registry.offers import OfferedTools
from lifecycle.registry.operations import Disable, Enable, Ensure, Remove, Restore, Retire, Verify
from lifecycle.registry.record import AgentState, retained
from lifecycle.registry.signals import AgentSignals
from lifecycle.specs.spec import AgentSpec


class Administration:
    """Changes agents. What is declared holds at once; the actor follows, and the next use makes sure that it did."""

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
        """Set what declaring needs.

        Args:
            catalog: Where declarations are kept.
            composer: Composes specs.
            clock: The time.
            grace: For how long a retired agent's versions are left at its provider.
            forget: Empties caches of an agent.
            offers: Notes what its MCP servers offer.
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
        agent, new = await self._catalog.declare(
            workspace, name, spec, if_match, config=config, sources=made.versions, by=by, step=step
        )
        if agent.state in (AgentState.ACTIVE, AgentState.FAILED) and not agent.ready:
            await signals.send(workspace, name, Ensure(new_id(), agent.declaration.revision, spec))
        self._forget(workspace, name)
        await self._offers.note(workspace, name, spec)
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
        """Declare an earlier spec of the agent again (`lifecycle.registry.versions`); its version is taken up again.

        Raises:
            NotFound: There is no such agent.
            InvalidInput: It names a tool that there no longer is.
            EtagMismatch: `if_match` is given and the current declaration is another one.
        """
        await self._catalog.get(workspace, name)
        exactly = AgentConfig.exactly(spec)  # composing it again could come to something else
        agent, _ = await self.declare(workspace, name, exactly, signals, if_match, by=by, step=AuditStep.ROLLED_BACK)
        return agent

    async def retire(
        self, workspace: str, name: str, signals: AgentSignals, grace: timedelta | None = None, by: str = ""
    ) -> Agent:
        """Retire the agent: it is deleted at the provider, its spec is kept, and its next use restores it.

        Args:
            workspace: Its workspace.
            name: Its name.
            signals: The way to its actor.
            grace: How long its versions are left at the provider; None for the app's setting.
            by: Who asks for it; empty where that is not known.

        Raises:
            NotFound: There is no such agent.
            Conflict: It is pinned.
        """
        agent = await self._catalog.get(workspace, name)
        if retained(agent.declaration.spec):
            raise Conflict(f"Agent {name!r} is pinned, or labelled to be kept; unpin it first.", code="agent_pinned")
        # A use that is told late must not undo what an operator asks for.
        unused_since = self._clock() + timedelta(minutes=1)
        grace_s = int((self._grace if grace is None else grace).total_seconds())
        await signals.send(workspace, name, Retire(new_id(), unused_since, grace_s, by=by, why="by request"))
        self._forget(workspace, name)
        return agent

    async def restore(self, workspace: str, name: str, signals: AgentSignals, by: str = "") -> Agent:
        """Have a retired or failed agent made ready again.

        Raises:
            NotFound: There is no such agent.
            Conflict: It is disabled.
        """
        agent = await self._enabled(workspace, name)
        # As it is declared now, which may be another spec than the one it was retired with.
        declared = agent.declaration
        await signals.send(workspace, name, Restore(new_id(), declared.revision, declared.spec, by=by))
        return agent

    async def verify(self, workspace: str, name: str, signals: AgentSignals, by: str = "") -> Agent:
        """Have the actor look whether the agent is at the provider as it was made, and make it again if it is not.

        Raises:
            NotFound: There is no such agent.
        """
        agent = await self._catalog.get(workspace, name)
        await signals.send(workspace, name, Verify(new_id(), by=by))
        self._forget(workspace, name)
        return agent

    async def switch(self, workspace: str, name: str, signals: AgentSignals, *, enabled: bool, by: str = "") -> Agent:
        """Switch the agent on or off. Off, no run of it is accepted, and none is started once workers notice.

        Raises:
            NotFound: There is no such agent.
        """
        agent = await self._catalog.switch(workspace, name, enabled=enabled, by=by)
        kind = Enable if enabled else Disable
        await signals.send(workspace, name, kind(new_id(), agent.declaration.revision))
        self._forget(workspace, name)
        return agent

    async def delete(
        self, workspace: str, name: str, signals: AgentSignals, if_match: str | None = None, by: str = ""
    ) -> Agent:
        """Delete the agent, with everything of ours at the provider. Its sessions and costs stay.

        Raises:
            NotFound: There is no such agent.
            EtagMismatch: `if_match` is given and the current declaration is another one.
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
