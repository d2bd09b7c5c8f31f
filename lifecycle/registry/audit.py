"""The audit trail of an agent: what happened to it, when, to which version, by whom and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditStep(StrEnum):
    """Kind of an audit entry."""

    DECLARED = "declared"  # its spec was declared, first or changed
    ROLLED_BACK = "rolled_back"  # an earlier spec was declared again
    SWITCHED_ON = "enabled"  # enabled by an operator
    SWITCHED_OFF = "disabled"  # disabled by an operator
    DELETED = "deleted"  # it was declared deleted
    CREATED = "created"  # a version was created at the provider
    ADOPTED = "adopted"  # an existing version of ours was found there and is used
    SUPERSEDED = "superseded"  # the version was replaced by another
    RESTORED = "restored"  # it was restored after it was retired
    KEPT = "kept"  # a version was found or created for a pinned session
    GONE = "gone"  # the version is missing or changed at the provider
    RETIRED = "retired"  # it was retired, for lack of use or on request
    PROVIDER_OFF = "provider_disabled"  # it was switched off at the provider
    ARCHIVED = "archived"  # a version's definition was stored before its deletion
    REMOVED = "version_deleted"  # a version was deleted at the provider
    CREATE_FAILED = "create_failed"
    DELETE_FAILED = "delete_failed"
    VERIFY_FAILED = "verify_failed"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry of an agent's audit trail.

    Attributes:
        id: Unique in the trail; the same when an operation is repeated.
        at: When, aware UTC.
        step: What happened.
        version: The version's label at the provider; empty if the entry is about none.
        by: Who caused it; empty for the app itself, or if unknown.
        why: The reason; for a failure, its stable code; empty if there is none.
    """

    id: str
    at: datetime
    step: AuditStep
    version: str = ""
    by: str = ""
    why: str = ""
