"""The agents of a Foundry project over the SDK: their versions, told apart into ours and others'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from azure.ai.projects.aio.operations import AgentsOperations
from azure.ai.projects.models import AgentVersionDetails, PromptAgentDefinition
from azure.core.exceptions import ResourceNotFoundError

from adapters.providers.foundry_versions import AGENT, DEFINITION, FINGERPRINT, OWNER, WORKSPACE, digest
from lifecycle.registry.providers import ProviderAgent, ProviderVersion

_PAGE = 100
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """A version as the project has it: what we note of any version, and all that it holds."""

    found: ProviderAgent
    definition: Mapping[str, Any]
    metadata: Mapping[str, str]
    description: str

    @property
    def version(self) -> ProviderVersion:
        """Which version it is."""
        return self.found.version

    def made_for(self, owner: str, fingerprint: str) -> bool:
        """Return whether the owner made it from the spec of that fingerprint, and it still is what was made."""
        ours = (self.version.owner, self.version.fingerprint) == (owner, fingerprint)
        # An edit in the portal may take the metadata along into a version with another definition.
        return bool(owner and fingerprint) and ours and self.found.intact


class ProjectAgents:
    """Reads and changes the agents of one project."""

    def __init__(self, agents: AgentsOperations) -> None:
        self._agents = agents

    async def versions(self, name: str, *, include_drafts: bool = False) -> AsyncIterator[Stored]:
        """Yield the agent's versions, newest first; none when there is no such agent."""
        drafts = include_drafts or None  # None leaves the parameter out
        with suppress(ResourceNotFoundError):
            async for details in self._agents.list_versions(name, limit=_PAGE, order="desc", include_drafts=drafts):
                yield _stored(details)

    async def get(self, version: ProviderVersion) -> Stored | None:
        """Return the version if it is there and is the one that was made; its number alone may be another's by now."""
        try:
            stored = _stored(await self._agents.get_version(version.name, version.version))
        except ResourceNotFoundError:
            return None
        return stored if stored.made_for(version.owner, version.fingerprint) else None

    async def create(
        self, name: str, definition: Mapping[str, Any], metadata: dict[str, str], description: str
    ) -> ProviderVersion:
        """Make a version; the agent, too, with its first one."""
        made = await self._agents.create_version(
            name,
            definition=PromptAgentDefinition(definition),
            metadata=metadata,
            description=description or None,
        )
        return _stored(made).version

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version if it is ours, and the agent once it has none at all."""
        if await self.get(version) is not None:
            with suppress(ResourceNotFoundError):
                await self._agents.delete_version(version.name, version.version)
        with suppress(ResourceNotFoundError):
            # Deleting an agent deletes all its versions, so drafts count, too: they are somebody's.
            listed = self._agents.list_versions(version.name, limit=1, include_drafts=True)
            if await anext(listed, None) is None:  # one is enough to know, and each takes a request
                await self._agents.delete(version.name)

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield every version of every prompt agent that has one of the owner's."""
        waiting: list[str] = []
        async for agent in self._agents.list(kind="prompt", limit=_PAGE, order="asc"):
            latest = _stored(agent.versions.latest)
            if latest.version.owner == owner or latest.version.version != "1":  # the first and only one is not ours
                waiting.append(agent.name)
            if len(waiting) == _AT_ONCE:
                for found in await self._all_of(owner, waiting):
                    yield found
                waiting = []
        for found in await self._all_of(owner, waiting):
            yield found

    async def disable(self, name: str, owner: str) -> bool:
        """Have the project refuse to run the agent, if it is there and all its versions are the owner's."""
        owners = {stored.version.owner async for stored in self.versions(name, include_drafts=True)}
        if owners != {owner}:
            return False
        try:
            await self._agents.disable(name)
        except ResourceNotFoundError:
            return False
        return True

    async def enable(self, name: str) -> None:
        """Have the project run the agent; one that is not there stays so."""
        with suppress(ResourceNotFoundError):
            await self._agents.enable(name)

    async def _all_of(self, owner: str, names: Sequence[str]) -> list[ProviderAgent]:
        async def one(name: str) -> list[ProviderAgent]:
            versions = [stored.found async for stored in self.versions(name)]
            return versions if any(found.owner == owner for found in versions) else []

        return [found for versions in await asyncio.gather(*map(one, names)) for found in versions]


def _stored(details: AgentVersionDetails) -> Stored:
    metadata = dict(details.metadata or {})
    definition = details.definition.as_dict() if details.definition else {}
    version = ProviderVersion(
        details.name,
        details.version,
        details.id,
        details.created_at,
        owner=metadata.get(OWNER, ""),
        fingerprint=metadata.get(FINGERPRINT, ""),
    )
    intact = metadata.get(DEFINITION) == digest(definition)
    found = ProviderAgent(version, metadata.get(WORKSPACE, ""), metadata.get(AGENT, ""), intact)
    return Stored(found, definition, metadata, details.description or "")
