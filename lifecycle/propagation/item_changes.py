"""Changing templates, personalities, capabilities and overrides: check, store, propagate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import Conflict, InvalidInput
from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.dependents import Dependent, DependentKind, Dependents
from lifecycle.configuration.kinds import Kind, Ref, references
from lifecycle.configuration.store import ConfigurationItem, ConfigurationStore, preset
from lifecycle.propagation.propagation import Propagated, Propagation, config_of

if TYPE_CHECKING:
    from kernel.due_index import Entry
    from lifecycle.configuration.layers import Content
    from lifecycle.configuration.sources import Composer
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.catalog import Agent, Catalog

FOLLOW_AT_ONCE = 200
"""Most agents that the request changing an item updates itself; the timer updates the others."""
MOST_NAMED = 20
"""Most agents that an error names."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The result of changing an item.

    Attributes:
        item: The item as it is now.
        new: Whether the workspace had no own item of this name before.
        followed: The result of updating the dependent agents.
    """

    item: ConfigurationItem
    new: bool
    followed: Propagated


class ConfigurationChanges:
    """Changes items. A change that would make an agent's spec invalid is refused, and changes nothing."""

    def __init__(
        self,
        items: ConfigurationStore,
        dependents: Dependents,
        composer: Composer,
        following: Propagation,
        catalog: Catalog,
    ) -> None:
        self._items = items
        self._dependents = dependents
        self._composer = composer
        self._following = following
        self._catalog = catalog

    async def put(
        self, workspace: str, ref: Ref, content: Content, signals: AgentSignals, if_match: str | None = None
    ) -> Changed:
        """Store the item and update dependent agents. Storing equal content changes nothing.

        Raises:
            InvalidInput: It refers to something that does not exist, or extends itself; see `Sources.resolve`.
            Conflict: An agent's spec would be invalid (code `dependents_invalid`); `fields` says which, and why.
            EtagMismatch: `if_match` is given and the item was changed since.
            TooLarge: It does not fit a row.
        """
        before, item, followed = await self._change(workspace, ref, content, content, signals, if_match)
        return Changed(item, new=before.builtin or before.content is None, followed=followed)

    async def delete(self, workspace: str, ref: Ref, signals: AgentSignals, if_match: str | None = None) -> None:
        """Delete the workspace's item; a built-in item of that name becomes visible again.

        Raises:
            NotFound: The workspace has no own item of this name.
            Conflict: Something depends on it (code `item_in_use`), or would be invalid with the built-in item.
            EtagMismatch: `if_match` is given and the item was changed since.
        """
        await self._change(workspace, ref, None, preset(ref), signals, if_match)

    async def dependents(
        self, workspace: str, ref: Ref, limit: int, after: str | None = None
    ) -> tuple[Sequence[Dependent], str | None]:
        """Return what depends on the item, by kind and name, and the key to continue after; None at the end.

        A page may have fewer than `limit` entries while there are more.
        """
        found, after = await self._dependents.page(workspace, ref, limit, after)
        real = await asyncio.gather(*(self._depends(workspace, who, ref) for who in found))
        return [who for who, depends in zip(found, real, strict=True) if depends], after

    async def _change(
        self,
        workspace: str,
        ref: Ref,
        content: Content | None,
        comes_to: Content | None,
        signals: AgentSignals,
        if_match: str | None,
    ) -> tuple[ConfigurationItem, ConfigurationItem, Propagated]:
        """Make the item say the content, of which `comes_to` is what agents will see.

        Returns:
            The item as it was and as it is, and what became of the agents that are composed of it.
        """
        noted: list[Entry] = []

        async def ahead(current: ConfigurationItem) -> None:
            proposed = replace(current, content=comes_to, version=current.version + 1, builtin=content is None)
            if content is not None:
                await self._composer.sources(workspace, proposed).check(content)
            elif comes_to is None and ref.kind is not Kind.OVERRIDES:
                await self._check_unused(workspace, ref)
            await self._check_followable(proposed)
            if content is not None and ref.kind in (Kind.TEMPLATE, Kind.OVERRIDES):
                who = Dependent(DependentKind(ref.kind.value), ref.name)
                await self._dependents.enter(workspace, who, references(content))
            noted.append(await self._following.note(workspace, ref, proposed.version))

        before, item = await self._items.change(workspace, ref, content, if_match, ahead)
        if item is before:
            return before, item, Propagated()
        return before, item, await self._following.propagate(noted[-1], signals, FOLLOW_AT_ONCE)

    async def _check_followable(self, proposed: ConfigurationItem) -> None:
        """Check that every agent that is valid now stays valid."""
        would, now = self._composer.sources(proposed.workspace, proposed), self._composer.sources(proposed.workspace)
        broken: dict[str, str] = {}

        async def judge(who: Dependent) -> None:
            agent = await self._catalog.find(proposed.workspace, who.name)
            if agent is None or agent.declaration.deleted:
                return
            try:
                await would.resolve(config_of(agent))
            except InvalidInput as error:
                try:
                    await now.resolve(config_of(agent))
                except InvalidInput:
                    return
                broken[agent.name] = "; ".join(f"{at}: {why}" for at, why in error.fields.items()) or error.detail

        async for batch in self._following.agents(proposed.workspace, proposed.ref):
            await asyncio.gather(*map(judge, batch))
        if broken:
            names = sorted(broken)
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            msg = f"This change would make agents invalid: {', '.join(names[:MOST_NAMED])}{more}. Nothing was changed."
            fields = {f"/agents/{name}": broken[name] for name in names[:MOST_NAMED]}
            raise Conflict(msg, code="dependents_invalid", fields=fields)

    async def _check_unused(self, workspace: str, ref: Ref) -> None:
        after: str | None = None
        while True:
            found, after = await self.dependents(workspace, ref, MOST_NAMED, after)
            if found:
                named = ", ".join(f"{who.kind.value} {who.name}" for who in found)
                more = ", and more" if after else ""
                msg = f"The {ref.kind.value} {ref.name!r} is in use by {named}{more}. See its dependents for all."
                raise Conflict(msg, code="item_in_use")
            if after is None:
                return

    async def _depends(self, workspace: str, who: Dependent, ref: Ref) -> bool:
        if who.kind is DependentKind.AGENT:
            agent: Agent | None = await self._catalog.find(workspace, who.name)
            return agent is not None and not agent.declaration.deleted and str(ref) in agent.declaration.sources
        item = await self._items.find(workspace, Ref(Kind(who.kind.value), who.name))
        return item.content is not None and ref in references(item.content)
