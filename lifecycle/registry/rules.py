"""The rules of one agent's life: a pure state machine over its record. `lifecycle.registry.actor` does the I/O.

Operations arrive at least once and in any order (a signal is neither de-duplicated nor ordered by the backend), so each
carries an operation id that is applied once, and the declaring ones a revision that makes an older one void.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lifecycle.configuration.specs import AgentSpec, fingerprint
from lifecycle.registry.agents import AgentRecord, AgentState, Failure, Intent
from lifecycle.registry.operations import Disable, Enable, Ensure, Operation, RecordUse, Remove, Restore, Retire, Verify
from lifecycle.registry.providers import ProviderVersion

REMEMBERED_OPERATIONS = 128
"""How many operation ids a record remembers; a duplicate that comes later is caught by revisions and states."""


@dataclass(frozen=True, slots=True)
class Provision:
    """Effect: find or create the version for `spec`."""

    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Deprovision:
    """Effect: delete these versions, and what the intents may have left."""

    spec: AgentSpec
    versions: Sequence[ProviderVersion]
    intents: Sequence[Intent]


@dataclass(frozen=True, slots=True)
class Inspect:
    """Effect: look whether the version exists."""

    version: ProviderVersion


Effect = Provision | Deprovision | Inspect


@dataclass(frozen=True, slots=True)
class Decision:
    """The record to write, and what to do at the provider afterwards (None: nothing).

    The operation counts as applied once the effect is settled; without an effect, at once.
    """

    record: AgentRecord
    effect: Effect | None = None


def apply(record: AgentRecord, operation: Operation, now: datetime) -> Decision:
    """Return what an operation does to a record. An operation applied before, or overtaken, does nothing."""
    if operation.operation_id in record.applied:
        return Decision(record)
    if isinstance(operation, Ensure | Restore | Disable | Enable | Remove) and operation.revision < record.revision:
        return Decision(_remember(record, operation))
    match operation:
        case Ensure():
            return _ensure(record, operation, now)
        case Restore():
            if record.state not in (AgentState.IDLE, AgentState.FAILED, AgentState.PROVISIONING):
                return Decision(_remember(record, operation))
            return _ensure(record, operation, now)
        case RecordUse():
            latest = max(record.last_used, operation.last_used) if record.last_used else operation.last_used
            used = replace(record, uses=record.uses + operation.uses, last_used=latest)
            return Decision(_remember(used, operation))
        case Retire():
            return _retire(record, operation, now)
        case Disable():
            off = replace(record, revision=operation.revision, enabled=False, failure=None)
            return Decision(_remember(_enter(off, AgentState.DISABLED, now), operation))
        case Enable():
            return Decision(_remember(_enable(record, operation, now), operation))
        case Remove():
            return _remove(record, operation, now)
        case Verify():
            if record.state is not AgentState.ACTIVE or record.version is None:
                return Decision(_remember(record, operation))
            return Decision(record, Inspect(record.version))


def provisioned(
    record: AgentRecord, operation: Operation, version: ProviderVersion, now: datetime, *, adopted: bool
) -> AgentRecord:
    """Return the record after the provider has the version; the one it replaces is kept as superseded."""
    earlier = (*record.superseded, *((record.version,) if record.version else ()))
    made = Intent(version.provider, record.fingerprint)
    ready = replace(
        record,
        version=version,
        made_from=record.fingerprint,
        superseded=tuple(old for old in earlier if (old.provider, old.id) != (version.provider, version.id)),
        intents=tuple(intent for intent in record.intents if intent != made),
        created=record.created + (not adopted),
        adopted=record.adopted + adopted,
        failure=None,
    )
    return _remember(_enter(ready, AgentState.ACTIVE, now), operation)


def deprovisioned(record: AgentRecord, operation: Operation) -> AgentRecord:
    """Return the record after the versions it gave up were deleted at the provider."""
    return _remember(replace(record, superseded=(), intents=()), operation)


def inspected(record: AgentRecord, operation: Operation, now: datetime, *, exists: bool) -> AgentRecord:
    """Return the record after a look at the provider; what is gone there is registered again and remade on use."""
    if not exists:
        record = _enter(replace(record, version=None, made_from=""), AgentState.REGISTERED, now)
    return _remember(record, operation)


def failed(record: AgentRecord, operation: Operation, failure: Failure, now: datetime) -> AgentRecord:
    """Return the record after the provider refused or could not be reached.

    Only a failed provisioning makes an agent FAILED; what was refused was not made, what may pass may have been. A
    failed deletion keeps the versions as superseded, for the next prune to try again; a failed look changes nothing.
    """
    if record.state is AgentState.PROVISIONING:
        intents = record.intents if failure.retriable else record.intents[:-1]
        record = _enter(replace(record, failure=failure, intents=intents), AgentState.FAILED, now)
    return _remember(record, operation)


def _ensure(record: AgentRecord, operation: Ensure | Restore, now: datetime) -> Decision:
    if operation.revision == record.revision and (record.state is AgentState.DELETED or not record.enabled):
        return Decision(_remember(record, operation))
    # A newer declaration is only ensured while it is enabled, so it outdates an earlier Disable.
    declared = replace(record, revision=operation.revision, spec=operation.spec, enabled=True)
    if declared.usable:
        return Decision(_remember(declared, operation))
    return _provision(declared, operation.spec, now)


def _provision(record: AgentRecord, spec: AgentSpec, now: datetime) -> Decision:
    intent = Intent(spec.provider, fingerprint(spec))
    intents = (*(other for other in record.intents if other != intent), intent)
    begun = replace(record, failure=None, intents=intents)
    return Decision(_enter(begun, AgentState.PROVISIONING, now), Provision(spec))


def _enable(record: AgentRecord, operation: Enable, now: datetime) -> AgentRecord:
    on = replace(record, revision=operation.revision, enabled=True)
    if record.state not in (AgentState.DISABLED, AgentState.DELETED):
        return on  # it overtook what it follows
    return _enter(on, AgentState.ACTIVE if record.version else AgentState.REGISTERED, now)


def _retire(record: AgentRecord, operation: Retire, now: datetime) -> Decision:
    idle_since = record.idle_since
    if record.retired:
        return _deprovision(record, operation)
    if idle_since is None or idle_since > operation.unused_since:
        return Decision(_remember(record, operation))
    idle = replace(_enter(record, AgentState.IDLE, now), failure=None)
    return _deprovision(_give_up_versions(idle), operation)


def _remove(record: AgentRecord, operation: Remove, now: datetime) -> Decision:
    gone = replace(_enter(record, AgentState.DELETED, now), revision=operation.revision, enabled=True, failure=None)
    return _deprovision(_give_up_versions(gone), operation)


def _give_up_versions(record: AgentRecord) -> AgentRecord:
    # Written before anything is deleted, so that no worker ever finds a usable row for a version that is gone.
    versions = (*record.superseded, *((record.version,) if record.version else ()))
    return replace(record, version=None, made_from="", superseded=versions)


def _deprovision(record: AgentRecord, operation: Operation) -> Decision:
    if record.spec is None or not record.holds_versions:
        return Decision(_remember(record, operation))
    return Decision(record, Deprovision(record.spec, record.superseded, record.intents))


def _enter(record: AgentRecord, state: AgentState, now: datetime) -> AgentRecord:
    return record if record.state is state else replace(record, state=state, since=now)


def _remember(record: AgentRecord, operation: Operation) -> AgentRecord:
    return replace(record, applied=(*record.applied, operation.operation_id)[-REMEMBERED_OPERATIONS:])
