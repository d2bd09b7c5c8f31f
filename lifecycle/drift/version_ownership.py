"""Which versions at the providers belong to which agent of a workspace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from kernel.lazy_dataclass import dataclass
from lifecycle.registry.providers import ProviderAgent, ProviderVersion
from lifecycle.registry.record import same
from lifecycle.specs.spec import provider_name


@dataclass(frozen=True, slots=True)
class Ownership:
    """The versions at the providers under an agent's name, or with our mark for it.

    Attributes:
        ours: Made by us for the agent, and unchanged. All lists: oldest first.
        edited: With our mark for the agent but another definition: a person edited it, and the mark was kept.
        foreign: Under the agent's name, but not made by us.
        copies: With our mark for the agent, under a name that it never had.
    """

    ours: tuple[ProviderVersion, ...] = ()
    edited: tuple[ProviderVersion, ...] = ()
    foreign: tuple[ProviderVersion, ...] = ()
    copies: tuple[ProviderVersion, ...] = ()

    def made_from(self, wanted: str) -> tuple[ProviderVersion, ...]:
        """Return the versions in `ours` that were made from the fingerprint, oldest first."""
        return tuple(each for each in self.ours if each.fingerprint == wanted)

    def intact(self, version: ProviderVersion) -> bool:
        """Return whether the version exists unchanged; a different one under its number does not count."""
        found = next((each for each in self.ours if same(each, version)), None)
        return found is not None and version.fingerprint in ("", found.fingerprint)


def newer(one: ProviderVersion, other: ProviderVersion) -> bool:
    """Return whether the first was made after the second, at the same provider."""
    return one.provider == other.provider and _age(one) > _age(other)


def ownership_of(
    workspace: str, owner: str, names: Collection[str], found: Iterable[ProviderAgent]
) -> Mapping[str, Ownership]:
    """Return the versions of each agent, by its name.

    Args:
        workspace: The workspace; versions marked for another are left out.
        owner: The mark of versions made by this app.
        names: All agents ever declared, including deleted ones.
        found: The versions at all providers.
    """
    agents = {provider_name(workspace, name): name for name in names}
    piles: defaultdict[str, defaultdict[str, list[ProviderVersion]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        marked = (each.owner, each.workspace) == (owner, workspace) and _valid(each.agent)
        if marked and each.version.name == provider_name(workspace, each.agent):
            piles[each.agent]["ours" if each.intact else "edited"].append(each.version)
        elif each.version.name in agents:
            piles[agents[each.version.name]]["foreign"].append(each.version)
        elif marked:
            piles[each.agent]["copies"].append(each.version)
    return {
        agent: replace(Ownership(), **{kind: tuple(sorted(pile, key=_age)) for kind, pile in kinds.items()})
        for agent, kinds in piles.items()
    }


def _age(version: ProviderVersion) -> tuple[datetime, int]:
    # Providers give times in seconds; versions of the same second are ordered by number.
    return version.created_at, int(version.version) if version.version.isdecimal() else 0


def _valid(name: str) -> bool:
    try:
        return bool(agent_name(name))
    except InvalidInput:
        return False
