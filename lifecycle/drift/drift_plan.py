"""A drift plan: finds the differences between declarations, records and the versions at the providers. Pure rules.

`plan_of` makes the plan; `lifecycle.drift.inventory` reads its input, `lifecycle.drift.plan_application` stores and
applies it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from kernel.lazy_dataclass import dataclass
from lifecycle.drift.version_ownership import Ownership, newer, ownership_of
from lifecycle.registry.catalog import Agent
from lifecycle.registry.providers import ProviderAgent, ProviderVersion
from lifecycle.registry.record import AgentState, same
from lifecycle.specs.spec import fingerprint

if TYPE_CHECKING:
    from lifecycle.registry.mcp_offers import Compared


class DriftKind(StrEnum):
    """Kind of a difference."""

    CREATE = "create"  # declared, but not at the provider
    UPDATE = "update"  # at the provider, but not as declared now
    ADOPT = "adopt"  # at the provider as declared, but missing in the record
    RECREATE = "recreate"  # in the record, but not at the provider any more
    CHANGED = "changed"  # edited at the provider by somebody else
    ORPHAN = "orphan"  # made by this app, but unknown to the registry
    DUPLICATE = "duplicate"  # made by this app, a duplicate of a known version
    TOOLS = "tools"  # an MCP server offers other tools, or tools with other schemas, than when the agent was declared


class DriftAction(StrEnum):
    """The action that applying a line takes."""

    ENSURE = "ensure"  # create the version as declared, or adopt an existing one
    RENEW = "renew"  # check the provider again, and create the version again
    SWEEP = "sweep"  # delete versions at the provider
    REMOVE = "remove"  # finish the deletion of the agent
    NONE = "none"  # none: not made by this app, or for a person to decide


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One difference.

    Attributes:
        agent: The agent's name.
        kind: Kind of the difference.
        action: What applying the line does.
        provider: The provider's name.
        why: The finding, in a sentence.
        would: What applying does, in a sentence.
        revision: Revision of the declaration concerned; 0 where there is none.
        versions: The versions at the provider concerned.
        clears: Whether the actor also deletes duplicates that this app made.
    """

    agent: str
    kind: DriftKind
    action: DriftAction
    provider: str
    why: str
    would: str
    revision: int = 0
    versions: tuple[ProviderVersion, ...] = ()
    clears: bool = False

    @property
    def destructive(self) -> bool:
        """Whether applying deletes a version at the provider."""
        return self.clears or self.action in (DriftAction.SWEEP, DriftAction.REMOVE)

    @property
    def claims(self) -> frozenset[tuple[str, ...]]:
        """The effects of applying the line; lines with equal claims have the same effect."""
        match self.action:
            case DriftAction.ENSURE | DriftAction.RENEW:
                return frozenset({("make", self.agent, str(self.revision))})
            case DriftAction.REMOVE:
                return frozenset({("remove", self.agent, str(self.revision))})
            case DriftAction.SWEEP | DriftAction.NONE:
                return frozenset((self.action.value, self.agent, self.provider, each.id) for each in self.versions)


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences of a workspace.

    Attributes:
        lines: The differences, by agent.
        unchanged: How many agents have no difference.
        unseen: Providers that could not be read, with the error's code; their agents are left out.
    """

    lines: tuple[PlanLine, ...]
    unchanged: int
    unseen: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of lines by kind; only kinds that occur."""
        return dict(sorted(Counter(line.kind.value for line in self.lines).items()))

    @property
    def claims(self) -> frozenset[tuple[str, ...]]:
        """The effects of applying all lines."""
        return frozenset[tuple[str, ...]]().union(*(line.claims for line in self.lines))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the effects of applying the plan."""
        return hashlib.sha256(json.dumps(sorted(self.claims)).encode()).hexdigest()


AWAY = frozenset({AgentState.DELETED, AgentState.DISABLED, AgentState.IDLE})
"""States in which an agent needs no version at the provider."""
MOST_TOOLS = 10
"""Most tools of a server that one line names."""
MOST_VERSIONS = 50
"""Most versions that one line deletes: its operation must fit into an entity signal."""


@dataclass(frozen=True, slots=True)
class ProviderSnapshot:
    """What was read from the providers.

    Attributes:
        found: The versions at all providers.
        confirmed: Provider and id of versions that exist although no inventory lists them.
        unseen: Providers that could not be read, with the error's code.
        offers: By agent, the tools that its MCP servers offer now, compared with those at declaration.
    """

    found: Sequence[ProviderAgent]
    confirmed: frozenset[tuple[str, str]] = frozenset()
    unseen: Mapping[str, str] = field(default_factory=dict[str, str])
    offers: Mapping[str, Sequence[Compared]] = field(default_factory=dict[str, "Sequence[Compared]"])


def plan_of(workspace: str, owner: str, agents: Iterable[Agent], sight: ProviderSnapshot) -> Plan:
    """Return the plan: the differences between the workspace's agents and the providers.

    Args:
        workspace: The workspace; versions marked for another are ignored.
        owner: The mark of versions made by this app.
        agents: All agents of the workspace ever declared, including deleted ones.
        sight: What was read from the providers.
    """
    by_name = {agent.name: agent for agent in agents}
    ownership = ownership_of(workspace, owner, by_name, sight.found)
    lines: list[PlanLine] = []
    unchanged = 0
    for name in sorted({*by_name, *ownership}):
        agent = by_name.get(name)
        if agent is not None and agent.declaration.spec.provider in sight.unseen:
            continue
        case = _Case.of(name, agent, ownership.get(name, Ownership()), sight.confirmed)
        of_agent = [*case.made(), *case.left(), *case.remarks(), *case.tools(sight.offers.get(name, ()))]
        lines += of_agent
        unchanged += agent is not None and not agent.declaration.deleted and not of_agent
    return Plan(tuple(lines), unchanged, dict(sight.unseen))


@dataclass(frozen=True, slots=True)
class _Case:
    """An agent with its versions at the providers.

    Attributes:
        name: The agent's name.
        agent: Its declaration and record; None when it was never declared.
        there: Its versions at the providers.
        confirmed: See `ProviderSnapshot`.
        wanted: The fingerprint of the version that should exist; empty when none should, or the agent must not be
            changed.
    """

    name: str
    agent: Agent | None
    there: Ownership
    confirmed: frozenset[tuple[str, str]]
    wanted: str

    @classmethod
    def of(cls, name: str, agent: Agent | None, there: Ownership, confirmed: frozenset[tuple[str, str]]) -> Self:
        """Return the case of an agent."""
        wanted = "" if agent is None or agent.state in AWAY else fingerprint(agent.declaration.spec)
        return cls(name, agent, there, confirmed, wanted)

    def made(self) -> Iterable[PlanLine]:
        """Yield the line for what is missing of a declared agent; at most one."""
        agent, wanted = self.agent, self.wanted
        if agent is None or not wanted:
            return
        record, current, chosen = agent.record, self.current, self.chosen
        unlike = f"; its last provisioning failed ({record.failure.code})" if record and record.failure else ""
        if current is not None and record is not None and record.made_from == wanted:
            if chosen != current:
                yield self._missing(current)
            elif not agent.ready:
                why = f"Version {current.version} is as declared, but the record lags behind{unlike}."
                yield self._line(DriftKind.UPDATE, DriftAction.ENSURE, why, "Bring the record up to date.", current)
        elif chosen is not None and not self.holds(chosen):
            why = f"Version {chosen.version} is ours and as declared, but the registry does not have it{unlike}."
            yield self._line(DriftKind.ADOPT, DriftAction.ENSURE, why, f"Go on with version {chosen.version}.", chosen)
        else:
            would = "Make it." if chosen is None else f"Go on with version {chosen.version}, which the registry holds."
            if current is None:
                kind, why = DriftKind.CREATE, f"It is declared, but not there{unlike}."
            else:
                kind, why = DriftKind.UPDATE, f"It is declared in another way than its version was made{unlike}."
            yield self._line(kind, DriftAction.ENSURE, why, would, *filter(None, (current, chosen)))

    def left(self) -> Iterable[PlanLine]:
        """Yield lines for versions that this app made and that should not exist."""
        record = self.agent.record if self.agent else None
        held = [each for each in self.there.ours if self.holds(each)]
        deleted = self.agent is not None and self.agent.declaration.deleted
        if held and deleted and record is not None and not record.retired:
            why = "The agent was deleted, but is still there."
            yield self._line(DriftKind.ORPHAN, DriftAction.REMOVE, why, f"Delete {_listed(held)}.", *held)
        chosen = self.chosen
        strays = [each for each in self.there.ours if each != chosen and not self.holds(each)]
        like = {each.fingerprint for each in record.held} | {record.made_from} if record else set[str]()
        like = (like | {self.wanted}) - {""}
        for provider in sorted({each.provider for each in strays}):
            mine = [each for each in strays if each.provider == provider]
            unknown = "there is no such agent" if self.agent is None else "the registry does not have it"
            others, twins = [[each for each in mine if (each.fingerprint in like) == alike] for alike in (False, True)]
            yield from self._sweeps(DriftKind.ORPHAN, f"It carries our mark, but {unknown}.", others)
            yield from self._sweeps(DriftKind.DUPLICATE, "It is the same as a version that the registry holds.", twins)

    def remarks(self) -> Iterable[PlanLine]:
        """Yield lines without action for what others made: edits of versions in use, and copies of our mark."""
        current = self.current
        base = current if current is not None and self._there(current) else self.chosen
        on_top = [each for each in self.there.foreign if base is not None and newer(each, base)]
        edited = [each for each in self.there.edited if not self.holds(each) and (base is None or newer(each, base))]
        uses = f"; runs go on with version {base.version}" if base is not None and self.agent is not None else ""
        for provider in sorted({each.provider for each in (*on_top, *edited)}):
            made = [each for each in (*on_top, *edited) if each.provider == provider]
            why = f"Somebody else made {_listed(made)}{uses}."
            would = "Nothing: declare the edit to keep it, or delete it at the provider."
            yield self._line(DriftKind.CHANGED, DriftAction.NONE, why, would, *made)
        for provider, name in sorted({(each.provider, each.name) for each in self.there.copies}):
            made = [each for each in self.there.copies if (each.provider, each.name) == (provider, name)]
            why = f"{name!r} carries our mark, but the agent was never called so there: somebody copied it."
            yield self._line(DriftKind.CHANGED, DriftAction.NONE, why, "Nothing: it is not ours.", *made)

    def tools(self, servers: Sequence[Compared]) -> Iterable[PlanLine]:
        """Yield lines for MCP servers whose tools differ from those at declaration."""
        for server in servers:
            if not server.changes or self.agent is None:
                continue
            changes = [f"{name!r} was {change}" for name, change in list(server.changes.items())[:MOST_TOOLS]]
            more = len(server.changes) - len(changes)
            label = server.declared.server_label
            why = (
                f"The MCP server {label!r} offers something else than when the agent was declared: {', '.join(changes)}"
            )
            why = f"{why}, and {more} more were." if more else f"{why}."
            would = "Nothing: runs use what it offers now. Declare the agent again if that is as it should be."
            declaration = self.agent.declaration
            kind, action = DriftKind.TOOLS, DriftAction.NONE
            yield PlanLine(self.name, kind, action, declaration.spec.provider, why, would, declaration.revision)

    @property
    def current(self) -> ProviderVersion | None:
        """The version that runs use, by the record; None for none."""
        return self.agent.record.version if self.agent and self.agent.record else None

    @property
    def chosen(self) -> ProviderVersion | None:
        """The existing version that the actor would use; None if it would create one."""
        record, current = self.agent.record if self.agent else None, self.current
        if record is not None and current is not None and record.made_from == self.wanted and self.good(current):
            return current
        found = self.there.made_from(self.wanted) if self.wanted else ()
        return next((each for each in found if self.holds(each)), found[0] if found else None)

    def holds(self, version: ProviderVersion) -> bool:
        """Return whether the record has the version."""
        record = self.agent.record if self.agent else None
        return record is not None and any(same(version, each) for each in record.held)

    def good(self, version: ProviderVersion) -> bool:
        """Return whether the version exists unchanged at the provider."""
        return (version.provider, version.id) in self.confirmed or self.there.intact(version)

    def _there(self, version: ProviderVersion) -> bool:
        return self.good(version) or any(same(version, each) for each in self.there.edited)

    def _missing(self, current: ProviderVersion) -> PlanLine:
        """Return the line for a version that is as declared in the record, but missing or changed at the provider."""
        chosen = self.chosen
        would = f"Go on with version {chosen.version}, which is the same." if chosen else "Make it again."
        if any(same(current, each) for each in self.there.edited):
            why = f"Version {current.version} is no longer as it was made."
            return self._line(DriftKind.CHANGED, DriftAction.RENEW, why, would, current)
        taken = any(same(current, each) for each in (*self.there.foreign, *self.there.ours))
        why = f"Version {current.version} is gone{'; its number is another’s now' if taken else ''}."
        kind = DriftKind.ADOPT if chosen is not None and not self.holds(chosen) else DriftKind.RECREATE
        return self._line(kind, DriftAction.RENEW, why, would, *filter(None, (current, chosen)))

    def _sweeps(self, kind: DriftKind, why: str, versions: Sequence[ProviderVersion]) -> Iterable[PlanLine]:
        for start in range(0, len(versions), MOST_VERSIONS):
            part = versions[start : start + MOST_VERSIONS]
            yield self._line(kind, DriftAction.SWEEP, why, f"Delete {_listed(part)}.", *part)

    def _line(self, kind: DriftKind, action: DriftAction, why: str, would: str, *versions: ProviderVersion) -> PlanLine:
        at = self.agent.declaration.spec.provider if self.agent else ""
        revision = self.agent.declaration.revision if self.agent else 0
        if action not in (DriftAction.ENSURE, DriftAction.RENEW):
            return PlanLine(self.name, kind, action, versions[0].provider, why, would, revision, versions)
        # The actor keeps one version for a spec, whatever it is asked to do.
        chosen = self.chosen
        twins = [each for each in self.there.made_from(self.wanted) if each != chosen and not self.holds(each)]
        would = f"{would} Delete {_listed(twins)}, which {'are' if twins[1:] else 'is'} the same." if twins else would
        return PlanLine(self.name, kind, action, at, why, would, revision, versions, clears=bool(twins))


def _listed(versions: Sequence[ProviderVersion]) -> str:
    numbers = [each.version for each in versions]
    shown = numbers if len(numbers) <= 5 else [*numbers[:4], f"{len(numbers) - 4} more"]
    return f"version{'s' if len(numbers) > 1 else ''} {', '.join(shown)}"
