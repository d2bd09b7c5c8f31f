"""The agents of a Foundry project over the SDK; versions of this app are distinguished from others'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from azure.ai.projects.aio.operations import AgentsOperations
from azure.ai.projects.models import AgentVersionDetails, PromptAgentDefinition
from azure.core.exceptions import ResourceNotFoundError

from adapters.providers.foundry_versions import AGENT, DEFINITION, FINGERPRINT, OWNER, WORKSPACE, digest
from kernel.lazy_dataclass import dataclass
from lifecycle.registry.providers import ProviderAgent, ProviderVersion

_PAGE = 100
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """A version as stored in the project: its identity, and all its data."""

    found: ProviderAgent
    definition: Mapping[str, Any]
    metadata: Mapping[str, str]
    description: str

    @property
    def version(self) -> ProviderVersion:
        """Its identity."""
        return self.found.version

    def made_for(self, owner: str, fingerprint: str) -> bool:
        """Return whether the owner created it from the spec of that fingerprint, and it is unchanged."""
        ours = (self.version.owner, self.version.fingerprint) == (owner, fingerprint)
        # An edit in the portal may copy the metadata to a version with another definition.
        return bool(owner and fingerprint) and ours and self.found.intact


class ProjectAgents:
    """Reads and changes the agents of one project."""

    def __init__(self, agents: AgentsOperations) -> None:
        self._agents = agents

    async def versions(self, name: str, *, include_drafts: bool = False) -> AsyncIterator[Stored]:
        """Yield the agent's versions, newest first; none when there is no such agent."""
        drafts = include_drafts or None  # None omits the parameter
        with suppress(ResourceNotFoundError):
            async for details in self._agents.list_versions(name, limit=_PAGE, order="desc", include_drafts=drafts):
                yield _stored(details)

    async def get(self, version: ProviderVersion) -> Stored | None:
        """Return the version if it exists and is the same; its number alone may belong to another version by now."""
        try:
            stored = _stored(await self._agents.get_version(version.name, version.version))
        except ResourceNotFoundError:
            return None
        return stored if stored.made_for(version.owner, version.fingerprint) else None

    async def create(
        self, name: str, definition: Mapping[str, Any], metadata: dict[str, str], description: str
    ) -> ProviderVersion:
        """Create a version; with the first one also the agent."""
        made = await self._agents.create_version(
            name,
            definition=PromptAgentDefinition(definition),
            metadata=metadata,
            description=description or None,
        )
        return _stored(made).version

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version if this app created it, and the agent once it has none at all."""
        if await self.get(version) is not None:
            with suppress(ResourceNotFoundError):
                await self._agents.delete_version(version.name, version.version)
        with suppress(ResourceNotFoundError):
            # Deleting an agent deletes all its versions, so drafts count too: they belong to somebody.
            listed = self._agents.list_versions(version.name, limit=1, include_drafts=True)
            if await anext(listed, None) is None:  # one is enough to know, and each takes a request
                await self._agents.delete(version.name)

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        """Yield every version of every prompt agent with at least one version of the owner."""
        waiting: list[str] = []
        async for agent in self._agents.list(kind="prompt", limit=_PAGE, order="asc"):
            latest = _stored(agent.versions.latest)
            if (
                latest.version.owner == owner or latest.version.version != "1"
            ):  # its first and only version is another owner's
                waiting.append(agent.name)
            if len(waiting) == _AT_ONCE:
                for found in await self._all_of(owner, waiting):
                    yield found
                waiting = []
        for found in await self._all_of(owner, waiting):
            yield found

    async def disable(self, name: str, owner: str) -> bool:
        """Disable the agent, if it exists and all its versions are the owner's; return whether it was."""
        owners = {stored.version.owner async for stored in self.versions(name, include_drafts=True)}
        if owners != {owner}:
            return False
        try:
            await self._agents.disable(name)
        except ResourceNotFoundError:
            return False
        return True

    async def enable(self, name: str) -> None:
        """Enable the agent; does nothing if it does not exist."""
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
