"""When timers have to check an agent: idle, with surplus versions, or not verified for long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lifecycle.registry.record import AgentRecord, AgentState

IDLE, SURPLUS, UNVERIFIED = "agent", "versions", "verify"
"""The registry's kinds in `kernel.due_index.DueIndex`."""


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long agents and versions are kept unused.

    Attributes:
        idle: Time without use after which it is idle, unless its spec sets another.
        superseded: Time after which no run can still be using a superseded version.
        verified: Time after the last check at the provider until the next one.
        versions_kept: How many superseded versions it keeps.
    """

    idle: timedelta
    superseded: timedelta
    verified: timedelta
    versions_kept: int


def due_times(record: AgentRecord, look_after: RetentionPolicy) -> Mapping[str, datetime | None]:
    """Return when the agent has to be checked, by kind; None for never."""
    return {
        IDLE: record.prune_due(look_after.idle),
        SURPLUS: surplus_due(record, look_after),
        UNVERIFIED: verify_due(record, look_after),
    }


def surplus_due(record: AgentRecord, look_after: RetentionPolicy) -> datetime | None:
    """Return when its surplus versions can be deleted; None while there are none."""
    if not record.surplus(look_after.versions_kept):
        return None
    return (record.superseded_since or record.since) + look_after.superseded


def verify_due(record: AgentRecord, look_after: RetentionPolicy) -> datetime | None:
    """Return when its version has to be verified; None while it has no usable version."""
    if record.state is not AgentState.ACTIVE or record.version is None:
        return None
    return (record.health.looked_at if record.health else record.since) + look_after.verified
