"""Composes declared agents into specs, and keeps the index of the items that agents depend on."""

from __future__ import annotations

from collections.abc import Iterable

from lifecycle.configuration.dependents import Dependent, DependentKind, Dependents
from lifecycle.configuration.kinds import Kind, Ref
from lifecycle.configuration.layers import AgentConfig
from lifecycle.configuration.sources import Resolved, Sources, SpecNames
from lifecycle.configuration.store import ConfigurationItem, ConfigurationStore


class Composer:
    """Composes agents from the items that are stored now."""

    def __init__(self, items: ConfigurationStore, dependents: Dependents, names: SpecNames) -> None:
        """Set the stores and the names that specs can use."""
        self._items = items
        self._dependents = dependents
        self._names = names

    def sources(self, workspace: str, assuming: ConfigurationItem | None = None) -> Sources:
        """Return the workspace's items; with `assuming` in place of the stored item of that name."""
        return Sources(self._items, self._names, workspace, assuming=assuming)

    async def compose(self, workspace: str, name: str, config: AgentConfig) -> Resolved:
        """Enter the agent in the index of dependents, and return its composed spec.

        Raises:
            InvalidInput: See `Sources.resolve`.
        """
        resolved = await self.sources(workspace).resolve(config)
        await self.enter(workspace, name, resolved.versions)
        return resolved

    async def enter(self, workspace: str, name: str, sources: Iterable[str]) -> None:
        """Enter an agent in the index as depending on the sources, except overrides: every agent depends on those."""
        refs = [ref for ref in map(Ref.parse, sources) if ref.kind is not Kind.OVERRIDES]
        await self._dependents.enter(workspace, Dependent(DependentKind.AGENT, name), refs)
