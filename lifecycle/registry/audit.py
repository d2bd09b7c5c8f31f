"""The audit trail of an agent: what happened to it, when, to which version, by whom and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditStep(StrEnum):
    """What can happen to an agent."""

    DECLARED = "declared"  # its spec was declared, for the first time or another one
    ROLLED_BACK = "rolled_back"  # an earlier spec of it was declared again
    SWITCHED_ON = "enabled"  # an operator switched it on
    SWITCHED_OFF = "disabled"  # an operator switched it off
    DELETED = "deleted"  # it was declared deleted
    CREATED = "created"  # a version was made at the provider
    ADOPTED = "adopted"  # a version of ours was found there and taken over
    SUPERSEDED = "superseded"  # another version took the place of this one
    RESTORED = "restored"  # it is back after it was retired
    KEPT = "kept"  # a version was found or made because a session is pinned to it
    GONE = "gone"  # the version is no longer at the provider as it was made
    RETIRED = "retired"  # it was given up, for want of use or on request
    PROVIDER_OFF = "provider_disabled"  # the provider no longer runs it
    ARCHIVED = "archived"  # the definition of a version was stored before it is deleted
    REMOVED = "version_deleted"  # a version was deleted at the provider
    CREATE_FAILED = "create_failed"
    DELETE_FAILED = "delete_failed"
    VERIFY_FAILED = "verify_failed"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One step.

    Attributes:
        id: Unique in the agent's trail; the same step of the same operation has the same one.
        at: When, aware UTC.
        step: What happened.
        version: The version's label at the provider, where the step is about one.
        by: Who asked for it; empty for the app itself, or where it is not known.
        why: The reason, where there is one to tell; of a failure its stable code.
    """

    id: str
    at: datetime
    step: AuditStep
    version: str = ""
    by: str = ""
    why: str = ""
