"""What an owner wants of an agent, as one row that counts its changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from lifecycle.configuration.layers import AgentConfig
from lifecycle.registry.audit import AuditEntry, AuditStep
from lifecycle.specs.spec import AgentSpec, fingerprint


@dataclass(frozen=True, slots=True)
class Pin:
    """The declaration of the agent that a session's runs use, whatever has been declared since.

    Attributes:
        revision: Its number.
        fingerprint: What the agent's version at the provider is made from (`lifecycle.specs.spec`).
        spec: The spec, kept here so that the version can be made again should it get lost.
    """

    revision: int
    fingerprint: str
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Declaration:
    """What an owner wants of an agent.

    Attributes:
        spec: What it is to be, composed of everything that the owner named.
        revision: Counts the changes of what it is to be, from 1.
        enabled: False while an operator has it switched off.
        deleted: True once it was deleted; the row stays, so that a late signal cannot bring it back.
        created_at: When it was first declared (again), aware UTC.
        updated_at: When the declaration last changed.
        config: What the owner declared, of which the spec was composed; None where that was the spec itself.
        sources: The version of each template, personality, … that it was composed of, by `kind:name`.
        step: What the last change was, as the audit trail calls it.
        by: Who made it; empty where that is not known.
    """

    spec: AgentSpec
    revision: int
    enabled: bool
    deleted: bool
    created_at: datetime
    updated_at: datetime
    config: AgentConfig | None = None
    sources: Mapping[str, int] = field(default_factory=dict[str, int])
    step: AuditStep = AuditStep.DECLARED
    by: str = ""

    @property
    def pin(self) -> Pin:
        """What a session is pinned to that starts now."""
        return Pin(self.revision, fingerprint(self.spec), self.spec)

    @property
    def audit_entry(self) -> AuditEntry:
        """Its last change, as a line of the audit trail."""
        revision = f"revision {self.revision}"
        return AuditEntry(revision.replace(" ", "-"), self.updated_at, self.step, by=self.by, why=revision)


def declared(
    current: Declaration | None,
    spec: AgentSpec,
    now: datetime,
    config: AgentConfig | None = None,
    sources: Mapping[str, int] | None = None,
) -> Declaration:
    """Return the declaration after the spec was declared; the current one when that says nothing new.

    What is composed otherwise but comes to the same spec is no new revision.
    """
    made = sources or {}
    if current is None or current.deleted:
        revision = current.revision + 1 if current else 1
        return Declaration(
            spec,
            revision,
            enabled=True,
            deleted=False,
            created_at=now,
            updated_at=now,
            config=config,
            sources=made,
        )
    if current.spec == spec:
        same = (current.config, current.sources) == (config, made)
        return current if same else replace(current, config=config, sources=made)
    return replace(current, spec=spec, revision=current.revision + 1, updated_at=now, config=config, sources=made)
