"""Reads everything that was declared and everything at the providers, and makes drift plans from it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import AppError, InvalidInput
from kernel.ids import workspace_name
from lifecycle.drift.drift_plan import AWAY, ProviderSnapshot, plan_of

if TYPE_CHECKING:
    from lifecycle.drift.drift_plan import Plan
    from lifecycle.registry.catalog import Agent, Catalog
    from lifecycle.registry.mcp_offers import OfferedTools
    from lifecycle.registry.providers import ProviderAgent, Providers, ProviderVersion

_AT_ONCE = 8


class Inventory:
    """Compares the tables with the providers and MCP servers.

    Each comparison reads an inventory of each provider and all agents, and asks each MCP server once.
    """

    def __init__(self, catalog: Catalog, providers: Providers, offers: OfferedTools, owner: str) -> None:
        self._catalog = catalog
        self._providers = providers
        self._offers = offers
        self._owner = owner

    async def plan(self, workspace: str) -> Plan:
        """Return a new plan of one workspace.

        Raises:
            AppError: A configured provider could not be read; there are no partial plans.
        """
        found, unseen = await self._found()
        # Read after the providers, so that a version made meanwhile is not taken for unknown.
        agents = [agent async for agent in self._catalog.all(workspace)]
        return await self._plan(workspace, agents, found.get(workspace, []), unseen)

    async def plans(self) -> AsyncIterator[tuple[str, Plan]]:
        """Yield every workspace with its plan, reading each provider once; holds one workspace in memory at a time.

        Raises:
            AppError: A configured provider could not be read.
        """
        found, unseen = await self._found()
        agents: list[Agent] = []
        async for agent in self._catalog.all():
            if agents and agents[0].workspace != agent.workspace:
                name = agents[0].workspace
                yield name, await self._plan(name, agents, found.pop(name, []), unseen)
                agents = []
            agents.append(agent)
        if agents:
            name = agents[0].workspace
            yield name, await self._plan(name, agents, found.pop(name, []), unseen)
        for name, versions in sorted(found.items()):
            yield name, await self._plan(name, [], versions, unseen)

    async def _plan(
        self, workspace: str, agents: Sequence[Agent], found: Sequence[ProviderAgent], unseen: Mapping[str, str]
    ) -> Plan:
        # Of a provider that came with an extension, and is gone with it.
        needed = {each.declaration.spec.provider for each in agents if each.state not in AWAY}
        needed |= {each.record.version.provider for each in agents if each.record and each.record.version}
        unseen = {**unseen, **dict.fromkeys(sorted(needed - set(self._providers)), "unknown_provider")}
        used = {each.name: each.declaration.spec for each in agents if each.state not in AWAY}
        offers = await self._offers.compare_all(workspace, used)
        sight = ProviderSnapshot(found, await self._confirmed(_unlisted(found, agents, unseen)), unseen, offers)
        return plan_of(workspace, self._owner, agents, sight)

    async def _found(self) -> tuple[dict[str, list[ProviderAgent]], Mapping[str, str]]:
        """Return the providers' versions by workspace, and the providers that are not configured."""
        found: defaultdict[str, list[ProviderAgent]] = defaultdict(list)
        unseen: dict[str, str] = {}
        for provider in self._providers:
            try:
                agents = await self._inventory(provider)
            except AppError as error:
                if error.code != "provider_not_configured":
                    raise
                unseen[provider] = error.code
                continue
            for versions in agents.values():
                # A version without our mark names no workspace: it concerns the workspace whose agent has its name.
                for workspace in {each.workspace for each in versions if each.owner == self._owner}:
                    if _valid(workspace):
                        found[workspace] += versions
        return found, unseen

    async def _inventory(self, provider: str) -> Mapping[str, Sequence[ProviderAgent]]:
        agents: defaultdict[str, list[ProviderAgent]] = defaultdict(list)
        async for each in self._providers[provider].inventory(self._owner):
            agents[each.version.name].append(replace(each, version=replace(each.version, provider=provider)))
        return agents

    async def _confirmed(self, versions: Sequence[ProviderVersion]) -> frozenset[tuple[str, str]]:
        """Return which of the versions exist although no inventory lists them."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def there(version: ProviderVersion) -> bool:
            async with free:
                return await self._providers[version.provider].exists(version)

        seen = await asyncio.gather(*map(there, versions))
        return frozenset((each.provider, each.id) for each, is_there in zip(versions, seen, strict=True) if is_there)


def _unlisted(
    found: Sequence[ProviderAgent], agents: Sequence[Agent], unseen: Mapping[str, str]
) -> Sequence[ProviderVersion]:
    """Return the versions that runs use and no inventory lists: deleted, or at a provider that stores no agents."""
    listed = {(each.version.provider, each.version.id) for each in found}
    current = [
        agent.record.version for agent in agents if agent.record is not None and agent.record.version is not None
    ]
    return [each for each in current if (each.provider, each.id) not in listed and each.provider not in unseen]


def _valid(workspace: str) -> bool:
    try:
        return bool(workspace_name(workspace))
    except InvalidInput:
        return False
