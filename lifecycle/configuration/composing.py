"""Composes declared agents, and keeps the index of what they are composed of."""

from __future__ import annotations

from collections.abc import Iterable

from lifecycle.configuration.dependents import Dependent, DependentKind, Dependents
from lifecycle.configuration.kinds import Kind, Ref
from lifecycle.configuration.layers import AgentConfig
from lifecycle.configuration.sources import Resolved, Sources, SpecNames
from lifecycle.configuration.store import ConfigurationItem, ConfigurationStore


class Composer:
    """Composes agents from what is stored now."""

    def __init__(self, items: ConfigurationStore, dependents: Dependents, names: SpecNames) -> None:
        """Set where items are, and what specs can name."""
        self._items = items
        self._dependents = dependents
        self._names = names

    def sources(self, workspace: str, assuming: ConfigurationItem | None = None) -> Sources:
        """Return the items of a workspace as they are from now on, one of them perhaps taken for granted."""
        return Sources(self._items, self._names, workspace, assuming=assuming)

    async def compose(self, workspace: str, name: str, config: AgentConfig) -> Resolved:
        """Return what a declaration comes to, once the agent is entered as depending on what it is composed of.

        Raises:
            InvalidInput: See `Sources.resolve`.
        """
        resolved = await self.sources(workspace).resolve(config)
        await self.enter(workspace, name, resolved.versions)
        return resolved

    async def enter(self, workspace: str, name: str, sources: Iterable[str]) -> None:
        """Enter an agent in the index as depending on sources; on the overrides every agent depends anyway."""
        refs = [ref for ref in map(Ref.parse, sources) if ref.kind is not Kind.OVERRIDES]
        await self._dependents.enter(workspace, Dependent(DependentKind.AGENT, name), refs)
