"""Looking around for drift: all that was declared, and all that is at the providers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kernel.errors import AppError
from lifecycle.registry.catalog import Agent, Catalog
from lifecycle.registry.differences import Plan
from lifecycle.registry.drift import Sight, plan_of
from lifecycle.registry.providers import Found, Providers, ProviderVersion

_AT_ONCE = 8


class Survey:
    """Compares the tables with the providers. Each look reads an inventory of each provider, and all agents."""

    def __init__(self, catalog: Catalog, providers: Providers, owner: str) -> None:
        self._catalog = catalog
        self._providers = providers
        self._owner = owner

    async def plan(self, workspace: str) -> Plan:
        """Return the plan of one workspace.

        Raises:
            AppError: A provider that the app is connected to could not be looked at; half a look makes no plan.
        """
        plans = await self.plans(workspace)
        return plans.get(workspace, Plan((), 0))

    async def plans(self, only: str | None = None) -> Mapping[str, Plan]:
        """Return the plan of each workspace that has agents, or of one, from a single look at each provider.

        Raises:
            AppError: A provider that the app is connected to could not be looked at.
        """
        found, unseen = await self._found()
        # Read after the providers: a version that was made meanwhile is not taken for one that nobody knows.
        agents: defaultdict[str, list[Agent]] = defaultdict(list)
        async for agent in self._catalog.everyone(only):
            agents[agent.workspace].append(agent)
        workspaces = {only} if only is not None else {*agents, *(each.workspace for each in found if each.workspace)}
        unlisted = _unlisted(found, [agent for group in agents.values() for agent in group], unseen)
        sight = Sight(found, await self._confirmed(unlisted), unseen)
        return {name: plan_of(name, self._owner, agents[name], sight) for name in sorted(workspaces)}

    async def _found(self) -> tuple[Sequence[Found], Mapping[str, str]]:
        found: list[Found] = []
        unseen: dict[str, str] = {}
        for name, provider in self._providers.items():
            try:
                async for each in provider.inventory(self._owner):
                    found.append(replace(each, version=replace(each.version, provider=name)))  # noqa: PERF401 - half of it counts, too
            except AppError as error:
                if error.code != "provider_not_configured":
                    raise
                unseen[name] = error.code
        return found, unseen

    async def _confirmed(self, versions: Sequence[ProviderVersion]) -> frozenset[tuple[str, str]]:
        """Return which of the versions are there, though no inventory lists them."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def there(version: ProviderVersion) -> bool:
            async with free:
                return await self._providers[version.provider].exists(version)

        seen = await asyncio.gather(*map(there, versions))
        return frozenset((each.provider, each.id) for each, is_there in zip(versions, seen, strict=True) if is_there)


def _unlisted(found: Sequence[Found], agents: Sequence[Agent], unseen: Mapping[str, str]) -> Sequence[ProviderVersion]:
    """Return the versions that runs use and no inventory lists: gone, or at a provider that keeps no agents."""
    listed = {(each.version.provider, each.version.id) for each in found}
    current = [
        agent.record.version for agent in agents if agent.record is not None and agent.record.version is not None
    ]
    return [each for each in current if (each.provider, each.id) not in listed and each.provider not in unseen]
