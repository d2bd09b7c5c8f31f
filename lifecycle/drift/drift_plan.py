"""A drift plan: the differences between declarations, records and providers, and the action for each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lifecycle.registry.providers import ProviderVersion


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
