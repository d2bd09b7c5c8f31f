"""When an agent is due for a look by a timer: idle, with versions to spare, or not verified for long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lifecycle.registry.record import AgentRecord, AgentState

IDLE, SURPLUS, UNVERIFIED = "agent", "versions", "verify"
"""The kinds of `kernel.due_index.DueIndex` that the registry keeps."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long an agent may be unused before it is retired.

    Attributes:
        idle: Time without use before it is idle, unless its spec says otherwise.
        superseded: Time after which no run can still use a version that was superseded.
        verified: Time after it was last looked at before its version is verified again.
        versions_kept: How many superseded versions it keeps.
    """

    idle: timedelta
    superseded: timedelta
    verified: timedelta
    versions_kept: int


def due_times(record: AgentRecord, look_after: RetentionPolicy) -> Mapping[str, datetime | None]:
    """Return when the agent is due for a look, by kind; None for never."""
    return {
        IDLE: record.prune_due(look_after.idle),
        SURPLUS: surplus_due(record, look_after),
        UNVERIFIED: verify_due(record, look_after),
    }


def surplus_due(record: AgentRecord, look_after: RetentionPolicy) -> datetime | None:
    """Return when versions can be deleted that it has to spare; None while there are none."""
    if not record.surplus(look_after.versions_kept):
        return None
    return (record.superseded_since or record.since) + look_after.superseded


def verify_due(record: AgentRecord, look_after: RetentionPolicy) -> datetime | None:
    """Return when its version is to be verified; None while it has none that runs use."""
    if record.state is not AgentState.ACTIVE or record.version is None:
        return None
    return (record.health.looked_at if record.health else record.since) + look_after.verified
