"""The declaration of an agent: one row with a revision number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime

from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.layers import AgentConfig
from lifecycle.registry.audit import AuditEntry, AuditStep
from lifecycle.specs.spec import AgentSpec, fingerprint


@dataclass(frozen=True, slots=True)
class Pin:
    """The declaration of an agent that a session's runs use, even if it is changed later.

    Attributes:
        revision: The declaration's revision.
        fingerprint: Fingerprint of the agent's version (`lifecycle.specs.spec`).
        spec: The spec, to create the version again if it is missing.
    """

    revision: int
    fingerprint: str
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Declaration:
    """An agent's declaration.

    Attributes:
        spec: The composed spec.
        revision: Number of changes of the spec, from 1.
        enabled: False while an operator has it switched off.
        deleted: Whether it was deleted; the row stays, so that a late signal cannot create it again.
        created_at: When it was first declared (again), aware UTC.
        updated_at: When the declaration last changed.
        config: The declaration that the spec was composed from; None if the spec itself was declared.
        sources: The version of each item it was composed of, by `kind:name`.
        step: Kind of the last change's audit entry.
        by: Who made the last change; empty if unknown.
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
        """The pin for a session that starts now."""
        return Pin(self.revision, fingerprint(self.spec), self.spec)

    @property
    def audit_entry(self) -> AuditEntry:
        """The audit entry of the last change."""
        revision = f"revision {self.revision}"
        return AuditEntry(revision.replace(" ", "-"), self.updated_at, self.step, by=self.by, why=revision)


def declared(
    current: Declaration | None,
    spec: AgentSpec,
    now: datetime,
    config: AgentConfig | None = None,
    sources: Mapping[str, int] | None = None,
) -> Declaration:
    """Return the declaration with the new spec; the current one if nothing changes.

    A different composition that results in the same spec does not change the revision.
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
