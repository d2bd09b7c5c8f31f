"""Changes of an agent's record after an effect at the provider has succeeded or failed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from lifecycle.registry.actor_effects import (
    Deactivate,
    Deprovision,
    Discard,
    Effect,
    Inspect,
    MakePinnedVersion,
    Provision,
)
from lifecycle.registry.audit import AuditEntry, AuditStep
from lifecycle.registry.record import AgentRecord, AgentState, Failure, Intent, answered, degraded, same, seen_intact

if TYPE_CHECKING:
    from lifecycle.registry.actor_operations import Operation
    from lifecycle.registry.providers import ProviderVersion

REMEMBERED_OPERATIONS = 128
"""How many operation ids a record remembers; older duplicates are recognized by revisions and states."""


def provisioned(
    record: AgentRecord, operation: Operation, version: ProviderVersion, now: datetime, *, adopted: bool
) -> AgentRecord:
    """Return the record after the version exists; the one it replaces becomes superseded."""
    recorded = any(same(version, held) for held in record.held)
    replaced = None if record.version is None or same(record.version, version) else record.version
    back = record.delete_after is not None
    ready = replace(
        record,
        version=version,
        made_from=record.fingerprint,
        superseded=tuple(old for old in record.held if not _replaced_by(old, version)),
        superseded_since=now if replaced or back else record.superseded_since,
        intents=_without(record.intents, version.provider, record.fingerprint),
        created=record.created + (not adopted),
        adopted=record.adopted + (adopted and not recorded),
        unused=record.unused or not (adopted and recorded),
        failure=None,
        off=tuple(provider for provider in record.off if provider != version.provider),
        archived=False,
        delete_after=None,
        health=seen_intact(now),
    )
    if not (adopted and recorded):
        ready = audited(
            ready, AuditStep.ADOPTED if adopted else AuditStep.CREATED, now, operation, version=version.version
        )
    if replaced is not None:
        ready = audited(ready, AuditStep.SUPERSEDED, now, operation, version=replaced.version)
    if back:
        ready = audited(
            ready, AuditStep.RESTORED, now, operation, version=version.version, by=getattr(operation, "by", "")
        )
    return enter(ready, AgentState.ACTIVE, now)


def pinned_version_made(
    record: AgentRecord, operation: Operation, version: ProviderVersion, now: datetime, *, adopted: bool
) -> AgentRecord:
    """Return the record after a version for a pinned session exists."""
    recorded = any(same(version, other) for other in record.held)
    current = record.version is not None and same(record.version, version)
    if not current and record.made_from == version.fingerprint:
        record = replace(record, version=None, made_from="")  # it is gone, as it was not found
    others = tuple(old for old in record.superseded if not _replaced_by(old, version))
    has = replace(
        record,
        superseded=others if current else (*others, version),
        superseded_since=now,
        intents=_without(record.intents, version.provider, version.fingerprint),
        created=record.created + (not adopted),
        adopted=record.adopted + (adopted and not recorded),
        unused=record.unused or not (adopted and recorded),
        keep_failure=None,
        off=tuple(provider for provider in record.off if provider != version.provider),
        health=answered(record.health, now),
    )
    return has if recorded else audited(has, AuditStep.KEPT, now, operation, version=version.version)


def inspected(
    record: AgentRecord, operation: Operation, version: ProviderVersion, now: datetime, *, intact: bool
) -> AgentRecord:
    """Return the record after a check at the provider; if the version is missing, the agent is registered again."""
    if intact:
        return replace(record, health=seen_intact(now))
    registered = replace(record, version=None, made_from="", health=answered(None, now))
    registered = audited(registered, AuditStep.GONE, now, operation, version=version.version)
    return enter(registered, AgentState.REGISTERED, now)


def deactivated(
    record: AgentRecord, operation: Operation, versions: Sequence[ProviderVersion], now: datetime, off: Sequence[str]
) -> AgentRecord:
    """Return the record after the agent was disabled at these providers and the versions were archived."""
    away = replace(record, archived=True, off=tuple(off), health=answered(record.health, now))
    for provider in off:
        away = audited(away, AuditStep.PROVIDER_OFF, now, operation, why=provider)
    for version in versions:
        away = audited(away, AuditStep.ARCHIVED, now, operation, version=version.version)
    return away


def deprovisioned(
    record: AgentRecord, operation: Operation, versions: Sequence[ProviderVersion], now: datetime
) -> AgentRecord:
    """Return the record after all its versions were deleted at the provider."""
    none_left = replace(record, superseded=(), intents=(), off=(), health=answered(record.health, now))
    for version in versions:
        none_left = audited(none_left, AuditStep.REMOVED, now, operation, version=version.version)
    return none_left


def discarded(
    record: AgentRecord, operation: Operation, versions: Sequence[ProviderVersion], now: datetime, why: str
) -> AgentRecord:
    """Return the record after some versions, recorded or not, were deleted at the provider."""
    remaining = tuple(old for old in record.superseded if not any(same(old, version) for version in versions))
    without = replace(record, superseded=remaining, health=answered(record.health, now))
    for version in versions:
        without = audited(without, AuditStep.REMOVED, now, operation, version=version.version, why=why)
    return without


def failed(record: AgentRecord, operation: Operation, effect: Effect, failure: Failure, now: datetime) -> AgentRecord:
    """Return the record after the provider refused or could not be reached.

    Only a failed provisioning makes an agent FAILED. After a refusal nothing was created; after a transient error it
    may have been. A failed deletion keeps the versions as superseded, for the next prune; a failed check changes
    nothing.
    """
    record = replace(record, health=degraded(record.health, failure.code, now))
    if isinstance(effect, Provision | MakePinnedVersion):
        record = replace(record, intents=record.intents if failure.retriable else record.intents[:-1])
    if isinstance(effect, Provision):
        record = enter(replace(record, failure=failure), AgentState.FAILED, now)
    if isinstance(effect, MakePinnedVersion):
        record = replace(record, keep_failure=failure)
    return remember(audited(record, failure_step(effect), now, operation, why=failure.code), operation)


def failure_step(effect: Effect) -> AuditStep:
    """Return the audit kind for a failure of the effect."""
    match effect:
        case Provision() | MakePinnedVersion():
            return AuditStep.CREATE_FAILED
        case Deactivate() | Deprovision() | Discard():
            return AuditStep.DELETE_FAILED
        case Inspect():
            return AuditStep.VERIFY_FAILED


def audited(
    record: AgentRecord,
    step: AuditStep,
    now: datetime,
    operation: Operation,
    *,
    version: str = "",
    by: str = "",
    why: str = "",
) -> AgentRecord:
    """Return the record with a new audit entry."""
    # Entries of one moment are listed in the order they were added: the newest first.
    place = 99 - len(record.unpublished)
    named = hashlib.sha256(f"{operation.operation_id}/{step}/{version}".encode()).hexdigest()[:16]
    return replace(
        record, unpublished=(*record.unpublished, AuditEntry(f"{place:02d}{named}", now, step, version, by, why))
    )


def enter(record: AgentRecord, state: AgentState, now: datetime) -> AgentRecord:
    """Return the record in the state."""
    return record if record.state is state else replace(record, state=state, since=now)


def remember(record: AgentRecord, operation: Operation) -> AgentRecord:
    """Return the record with the operation marked as applied."""
    return replace(record, applied=(*record.applied, operation.operation_id)[-REMEMBERED_OPERATIONS:])


def _without(intents: tuple[Intent, ...], provider: str, made_from: str) -> tuple[Intent, ...]:
    made = Intent(provider, made_from)
    return tuple(intent for intent in intents if intent != made)


def _replaced_by(old: ProviderVersion, version: ProviderVersion) -> bool:
    # An older one of the same spec that was not found is gone.
    return same(old, version) or (bool(old.fingerprint) and old.fingerprint == version.fingerprint)
