"""Updates agents after a change of a template, personality, … that they are composed of.

A change is recorded before it is made. The request that makes it updates the agents at once, up to a limit; a timer
does the rest, and checks every change once more after SETTLED. By then, every request that had read the item before it
changed has stored its result, with its index entry before that: the second check finds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.clock import rfc3339
from kernel.due_index import Entry
from kernel.errors import AppError, InvalidInput
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.dependents import Dependent, DependentKind
from lifecycle.configuration.kinds import Kind, Ref
from lifecycle.configuration.layers import AgentConfig
from lifecycle.registry.record import AgentState

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.due_index import DueIndex
    from lifecycle.configuration.dependents import Dependents
    from lifecycle.configuration.sources import Composer, Resolved, Sources
    from lifecycle.loader.agent_resolver import AgentResolver
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.catalog import Agent, Catalog
    from lifecycle.registry.mcp_offers import OfferedTools

log = logging.getLogger(__name__)

SETTLED = timedelta(minutes=10)
"""Longer than any request or function may take."""
AT_ONCE = 16
"""Agents that are updated concurrently."""
CHANGES_A_RUN = 1000
"""Most changes that one run of the timer handles."""
AGENTS_A_RUN = 5000
"""Most agents (approximately) that one run of the timer changes."""

_MADE, _FOLLOWED = "made", "followed"  # states of a change: about to be made; agents updated


@dataclass(frozen=True, slots=True)
class Propagated:
    """How many agents were checked, changed and failed, and whether these were all."""

    looked: int = 0
    changed: int = 0
    refused: int = 0
    complete: bool = True

    def __add__(self, other: Propagated) -> Propagated:
        return Propagated(
            self.looked + other.looked,
            self.changed + other.changed,
            self.refused + other.refused,
            self.complete and other.complete,
        )


class Propagation:
    """Updates agents when what they are composed of changes."""

    def __init__(
        self,
        catalog: Catalog,
        composer: Composer,
        dependents: Dependents,
        resolver: AgentResolver,
        due: DueIndex,
        clock: Clock,
        offers: OfferedTools,
    ) -> None:
        self._offers = offers
        self._catalog = catalog
        self._composer = composer
        self._dependents = dependents
        self._resolver = resolver
        self._due = due
        self._clock = clock

    async def note(self, workspace: str, ref: Ref, version: int) -> Entry:
        """Record that a change is about to be made, so that it is propagated even if this process dies."""
        return await self._noted(workspace, f"{ref.kind.value}!{ref.name}!{version}", _MADE, self._clock())

    async def propagate(self, noted: Entry, signals: AgentSignals, at_most: int) -> Propagated:
        """Update the agents after a recorded change, until about `at_most` of them have changed."""
        done = await self._update_agents(noted.workspace, _ref(noted), signals, at_most)
        if done.complete:
            await self._noted(noted.workspace, noted.name, _FOLLOWED, _state_and_time(noted)[1])
        return done

    async def finish(self, signals: AgentSignals, at_most: int = AGENTS_A_RUN) -> Propagated:
        """Complete all recorded changes, until about `at_most` agents have changed; for a timer."""
        settled, total = self._clock() - SETTLED, Propagated()
        changes: dict[tuple[str, Ref], list[Entry]] = {}
        for noted in await self._unfinished(settled):
            changes.setdefault((noted.workspace, _ref(noted)), []).append(noted)
        for (workspace, ref), noted_of_it in changes.items():
            if total.changed >= at_most:
                return total + Propagated(complete=False)
            try:
                done = await self._update_agents(workspace, ref, signals, at_most - total.changed)
            except AppError as error:
                # One change's failure must not keep the others from being followed; the next run tries it again.
                log.warning("%s not followed yet: %s", ref, error.code, extra={"event": "configuration.not_followed"})
                total += Propagated(complete=False)
                continue
            total += done
            for noted in noted_of_it if done.complete else ():
                if (at := _state_and_time(noted)[1]) <= settled:
                    await self._due.drop(workspace, noted.name, noted.hour)
                else:
                    await self._noted(workspace, noted.name, _FOLLOWED, at)
        return total

    async def agents(self, workspace: str, ref: Ref) -> AsyncIterator[Sequence[Dependent]]:
        """Yield the agents that may depend on the item, in groups; for overrides, all of the workspace."""
        batch: list[Dependent] = []
        found = self._all(workspace) if ref.kind is Kind.OVERRIDES else self._dependents.agents(workspace, ref)
        async for who in found:
            batch.append(who)
            if len(batch) == AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _unfinished(self, settled: datetime) -> Sequence[Entry]:
        """Return the changes that are not propagated yet, or not checked again after they settled."""
        unfinished: list[Entry] = []
        async for noted in self._due.until(self._clock()):
            state, at = _state_and_time(noted)
            if state == _MADE or at <= settled:
                unfinished.append(noted)
            if len(unfinished) == CHANGES_A_RUN:
                break
        return unfinished

    async def _update_agents(self, workspace: str, ref: Ref, signals: AgentSignals, at_most: int) -> Propagated:
        sources, total = self._composer.sources(workspace), Propagated()
        async for batch in self.agents(workspace, ref):
            if total.changed >= at_most:
                return total + Propagated(complete=False)
            steps = (self._step_if_possible(workspace, who, ref, sources, signals) for who in batch)
            total = sum(await asyncio.gather(*steps), total)
        return total

    async def _step_if_possible(
        self, workspace: str, who: Dependent, ref: Ref, sources: Sources, signals: AgentSignals
    ) -> Propagated:
        """Update the agent; count it as refused where no repetition helps: its row is unreadable, say."""
        try:
            return await self._step(workspace, who, ref, sources, signals)
        except AppError as error:
            if error.retriable:
                raise
            text = "agent %s cannot follow %s: %s"
            log.warning(text, who.name, ref, error.code, extra={"event": "configuration.not_followed"})
            return Propagated(looked=1, refused=1)

    async def _step(
        self, workspace: str, who: Dependent, ref: Ref, sources: Sources, signals: AgentSignals
    ) -> Propagated:
        while True:
            agent = await self._catalog.find(workspace, who.name)
            if agent is None or agent.declaration.deleted:
                await self._forget(workspace, who, ref)
                return Propagated(looked=1)
            resolved = await _resolved(sources, agent)
            if resolved is None or _older(resolved, agent):
                # The sources were read before this agent was: they may be outdated.
                sources = self._composer.sources(workspace)
                resolved = await _resolved(sources, agent)
            if resolved is None:
                log.warning(
                    "agent %s would be invalid with %s", who.name, ref, extra={"event": "configuration.not_followed"}
                )
                return Propagated(looked=1, refused=1)
            after = await self._redeclared(agent, resolved, signals)
            if after is not None:
                break
            sources = self._composer.sources(workspace)
        if ref.kind is not Kind.OVERRIDES and str(ref) not in resolved.versions:
            await self._forget(workspace, who, ref)
        return Propagated(looked=1, changed=after.declaration.revision != agent.declaration.revision)

    async def _redeclared(self, agent: Agent, resolved: Resolved, signals: AgentSignals) -> Agent | None:
        """Return the agent with its new declaration stored; None if it was declared again since it was read."""
        from lifecycle.registry.actor_operations import Ensure  # noqa: PLC0415 - cold start

        await self._composer.enter(
            agent.workspace, agent.name, resolved.versions.keys() - agent.declaration.sources.keys()
        )
        after = await self._catalog.follow(agent, resolved.effective.spec, resolved.versions)
        if after is None:
            return None
        changed = after.declaration.revision != agent.declaration.revision
        if changed:
            self._resolver.forget(agent.workspace, agent.name)
        # An active agent that is not ready may be one whose signal was lost in a crash.
        if (after.state is AgentState.ACTIVE and not after.ready) or (changed and after.state is AgentState.FAILED):
            operation = Ensure(new_id(), after.declaration.revision, after.declaration.spec)
            await signals.send(agent.workspace, agent.name, operation)
        if after.declaration.spec.mcp_servers != agent.declaration.spec.mcp_servers:
            await self._offers.note(agent.workspace, agent.name, after.declaration.spec)
        return after

    async def _forget(self, workspace: str, who: Dependent, ref: Ref) -> None:
        """Remove an index entry, unless it may belong to a declaration that is being stored."""
        if who.entered_at is not None and who.entered_at + SETTLED <= self._clock():
            await self._dependents.leave(workspace, who, [ref])

    async def _all(self, workspace: str) -> AsyncIterator[Dependent]:
        after: str | None = None
        while True:
            page, after = await self._catalog.list(workspace, 200, after)
            for agent in page:
                yield Dependent(DependentKind.AGENT, agent.name)
            if after is None:
                return

    async def _noted(self, workspace: str, name: str, state: str, at: datetime) -> Entry:
        note = f"{state} {rfc3339(at)}"
        await self._due.add(workspace, name, at, note)
        return Entry(workspace, name, "", note)


def config_of(agent: Agent) -> AgentConfig:
    """Return the agent's declaration."""
    declaration = agent.declaration
    return declaration.config if declaration.config is not None else AgentConfig.behind(declaration.spec)


def _ref(noted: Entry) -> Ref:
    kind, name, _ = noted.name.split("!")
    return Ref(Kind(kind), name)


def _state_and_time(noted: Entry) -> tuple[str, datetime]:
    state, _, at = noted.note.partition(" ")
    return state, datetime.fromisoformat(at)


def _older(resolved: Resolved, agent: Agent) -> bool:
    made_of = agent.declaration.sources
    return any(version < made_of.get(source, 0) for source, version in resolved.versions.items())


async def _resolved(sources: Sources, agent: Agent) -> Resolved | None:
    try:
        return await sources.resolve(config_of(agent))
    except InvalidInput:
        return None
