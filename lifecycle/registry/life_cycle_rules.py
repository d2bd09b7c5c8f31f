"""Rules of an agent's life cycle: a pure state machine over its record.

`lifecycle.registry.actor` does the I/O, `lifecycle.registry.effect_outcomes` has the changes after effects.
Operations arrive at least once and in any order (the backend neither de-duplicates nor orders signals), so each has an
id and is applied once, and those of declarations have a revision that makes older ones void.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lifecycle.registry.actor_effects import (
    Deactivate,
    Decision,
    Deprovision,
    Discard,
    Inspect,
    MakePinnedVersion,
    Provision,
)
from lifecycle.registry.actor_operations import (
    Disable,
    Enable,
    Ensure,
    KeepVersion,
    Operation,
    RecordUse,
    Remove,
    Renew,
    Restore,
    Retire,
    Sweep,
    Trim,
    Verify,
)
from lifecycle.registry.audit import AuditStep
from lifecycle.registry.effect_outcomes import audited, enter, remember
from lifecycle.registry.record import AgentRecord, AgentState, Intent, same
from lifecycle.specs.spec import AgentSpec, fingerprint

if TYPE_CHECKING:
    from lifecycle.registry.providers import ProviderVersion


def apply(record: AgentRecord, operation: Operation, now: datetime) -> Decision:
    """Return the result of an operation on a record. One that was applied before, or is outdated, does nothing."""
    if operation.operation_id in record.applied:
        return Decision(record)
    if isinstance(operation, Ensure | Restore | Renew | Disable | Enable | Remove):
        return _declared(record, operation, now)
    match operation:
        case RecordUse():
            latest = max(record.last_used, operation.last_used) if record.last_used else operation.last_used
            used = replace(
                record,
                uses=record.uses + operation.uses,
                last_used=latest,
                unused=False,
                first_uses=record.first_uses + record.unused,
            )
            return Decision(remember(used, operation))
        case Retire():
            return _retire(record, operation, now)
        case Verify():
            return _verify(record, operation, now)
        case KeepVersion():
            return _keep(record, operation)
        case Trim():
            unused = record.superseded_since is None or record.superseded_since <= operation.unused_since
            chosen = _among(record.superseded, operation.versions) if unused and not record.retired else ()
            return _discard(record, operation, chosen)
        case Sweep():
            strays = tuple(stray for stray in operation.versions if not _among(record.held, [stray]))
            return _discard(record, operation, strays)


def _declared(
    record: AgentRecord, operation: Ensure | Restore | Renew | Disable | Enable | Remove, now: datetime
) -> Decision:
    if operation.revision < record.revision:
        return Decision(remember(record, operation))
    match operation:
        case Ensure():
            return _ensure(record, operation, now)
        case Restore():
            if record.state not in (AgentState.IDLE, AgentState.FAILED, AgentState.PROVISIONING):
                return Decision(remember(record, operation))
            return _ensure(record, operation, now)
        case Renew():
            return _ensure(record, operation, now)
        case Disable():
            off = replace(record, revision=operation.revision, enabled=False, failure=None)
            return Decision(remember(enter(off, AgentState.DISABLED, now), operation))
        case Enable():
            return Decision(remember(_enable(record, operation, now), operation))
        case Remove():
            return _remove(record, operation, now)


def _ensure(record: AgentRecord, operation: Ensure | Restore | Renew, now: datetime) -> Decision:
    if operation.revision == record.revision and (record.state is AgentState.DELETED or not record.enabled):
        return Decision(remember(record, operation))
    if isinstance(operation, Ensure) and operation.revision == record.revision and record.left_alone(now):
        return Decision(remember(record, operation))  # the failure stands, however many runs ask
    # A newer declaration is only ensured while it is enabled, so it outdates an earlier Disable.
    declared = replace(record, revision=operation.revision, spec=operation.spec, enabled=True)
    if not declared.usable or declared.version is None:
        return provision(declared, operation.spec, now)
    if isinstance(operation, Renew):
        return Decision(declared, Inspect(declared.version, operation.spec))
    return Decision(remember(declared, operation))


def provision(record: AgentRecord, spec: AgentSpec, now: datetime) -> Decision:
    """Return the record with the intent to create a version of the spec, and the effect that does it."""
    begun = replace(record, failure=None, intents=_with(record.intents, Intent(spec.provider, fingerprint(spec))))
    return Decision(enter(begun, AgentState.PROVISIONING, now), Provision(spec))


def _verify(record: AgentRecord, operation: Verify, now: datetime) -> Decision:
    if record.spec is not None and record.state is AgentState.ACTIVE and record.version is not None:
        if record.usable:
            return Decision(record, Inspect(record.version, record.spec))
        return provision(record, record.spec, now)  # disabled before the change was made, and enabled again
    if record.spec is not None and record.state is AgentState.PROVISIONING:
        return provision(record, record.spec, now)  # a worker died at it, perhaps in this operation
    return Decision(remember(record, operation))


def _keep(record: AgentRecord, operation: KeepVersion) -> Decision:
    if record.retired or not record.enabled:
        return Decision(remember(record, operation))
    made_from = fingerprint(operation.spec)
    if record.version is not None and record.usable and record.made_from == made_from:
        return Decision(record, Inspect(record.version, operation.spec))
    begun = replace(record, intents=_with(record.intents, Intent(operation.spec.provider, made_from)))
    return Decision(begun, MakePinnedVersion(operation.spec))


def _enable(record: AgentRecord, operation: Enable, now: datetime) -> AgentRecord:
    on = replace(record, revision=operation.revision, enabled=True)
    if record.state not in (AgentState.DISABLED, AgentState.DELETED):
        return on  # it arrived before the operation that it follows
    return enter(on, AgentState.ACTIVE if record.version else AgentState.REGISTERED, now)


def _retire(record: AgentRecord, operation: Retire, now: datetime) -> Decision:
    delete_after = now + timedelta(seconds=operation.grace_s)
    if record.retired:
        sooner = min(record.delete_after or now, delete_after)
        return deactivate(replace(record, delete_after=sooner), operation, now)
    idle_since = record.idle_since
    if idle_since is None or idle_since > operation.unused_since:
        return Decision(remember(record, operation))
    idle = replace(enter(record, AgentState.IDLE, now), failure=None, archived=False, delete_after=delete_after)
    label = record.version.version if record.version else ""
    idle = audited(idle, AuditStep.RETIRED, now, operation, version=label, by=operation.by, why=operation.why)
    return deactivate(_give_up_versions(idle), operation, now)


def deactivate(record: AgentRecord, operation: Operation, now: datetime) -> Decision:
    """Return the next step for a retired agent's versions: disable and archive them, then delete them."""
    if record.spec is None or not record.holds_versions:
        return Decision(remember(record, operation))
    if not record.archived and record.superseded:
        # Recorded before it is done, so that a restore knows that the agent may be disabled.
        providers = {version.provider for version in record.superseded}
        off = tuple(sorted({*record.off, *providers}))
        return Decision(replace(record, off=off), Deactivate(record.superseded))
    if record.delete_after is not None and record.delete_after > now:
        return Decision(remember(record, operation))
    return Decision(record, Deprovision(record.spec, record.superseded, record.intents))


def _remove(record: AgentRecord, operation: Remove, now: datetime) -> Decision:
    deleted = replace(enter(record, AgentState.DELETED, now), revision=operation.revision, enabled=True, failure=None)
    deleted = replace(_give_up_versions(deleted), archived=True, delete_after=None)
    return deactivate(deleted, operation, now)


def _give_up_versions(record: AgentRecord) -> AgentRecord:
    # Written before anything is done to them, so that no worker finds a usable row for a deleted version.
    return replace(record, version=None, made_from="", superseded=record.held)


def _discard(record: AgentRecord, operation: Operation, versions: tuple[ProviderVersion, ...]) -> Decision:
    return Decision(record, Discard(versions)) if versions else Decision(remember(record, operation))


def _among(held: Sequence[ProviderVersion], asked: Sequence[ProviderVersion]) -> tuple[ProviderVersion, ...]:
    return tuple(version for version in held if any(same(version, other) for other in asked))


def _with(intents: tuple[Intent, ...], intent: Intent) -> tuple[Intent, ...]:
    return (*(other for other in intents if other != intent), intent)
