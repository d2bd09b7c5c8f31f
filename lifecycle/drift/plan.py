"""A plan: in what declarations, records and providers differ, and what would be done about it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lifecycle.registry.providers import ProviderVersion


class DriftKind(StrEnum):
    """In which way things differ."""

    CREATE = "create"  # declared, not there
    UPDATE = "update"  # there, but not as it is declared now
    ADOPT = "adopt"  # there as declared, but the record does not hold it
    RECREATE = "recreate"  # in the record, gone at the provider
    CHANGED = "changed"  # somebody edited it at the provider
    ORPHAN = "orphan"  # ours at the provider, unknown here
    TAIL = "tail"  # ours at the provider, the same as a version that is known here
    TOOLS = "tools"  # an MCP server offers other tools, or tools with other schemas, than when the agent was declared


class DriftAction(StrEnum):
    """What applying a line does."""

    ENSURE = "ensure"  # make it as declared, or adopt what is there
    RENEW = "renew"  # look at the provider again, and make it again
    SWEEP = "sweep"  # delete versions at the provider
    REMOVE = "remove"  # finish the deletion of the agent
    NONE = "none"  # nothing: it is not ours, or for a person to look at


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One difference.

    Attributes:
        agent: The agent's name.
        kind: In which way it differs.
        action: What applying does about it.
        provider: Where.
        why: What was found, in a sentence.
        would: What applying does, in a sentence.
        revision: The declaration that the line is about; 0 where there is none.
        versions: The versions at the provider that it is about.
        clears: Whether the actor, besides what it makes, deletes other versions of ours that are the same.
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
        """Whether applying deletes something at the provider."""
        return self.clears or self.action in (DriftAction.SWEEP, DriftAction.REMOVE)

    @property
    def claims(self) -> frozenset[tuple[str, ...]]:
        """What the line would do, and to what; two lines that claim the same are the same in effect."""
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
        unchanged: How many agents are as they should be.
        unseen: Providers that could not be looked at, with the code of the reason; their agents are left out.
    """

    lines: tuple[PlanLine, ...]
    unchanged: int
    unseen: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def counts(self) -> Mapping[str, int]:
        """How many lines there are of each kind that occurs."""
        return dict(sorted(Counter(line.kind.value for line in self.lines).items()))

    @property
    def claims(self) -> frozenset[tuple[str, ...]]:
        """Everything that the lines would do."""
        return frozenset[tuple[str, ...]]().union(*(line.claims for line in self.lines))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what the plan would do and to what."""
        return hashlib.sha256(json.dumps(sorted(self.claims)).encode()).hexdigest()
