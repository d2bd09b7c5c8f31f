"""When timers have to check an agent (idle, with surplus versions, not verified for long), and the verifying.

Agents are verified at their providers over time, those first that were not verified for longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.codec import Unreadable, pass_over
from kernel.due_index import DueIndex, outlasted
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.registry.actor_operations import Verify
from lifecycle.registry.record import AgentRecord, AgentState

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.registry.catalog import Catalog

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


class Verification:
    """Sends `Verify` to the actors of due agents. Reads what is due, not all agents."""

    def __init__(
        self, catalog: Catalog, due: DueIndex, look_after: RetentionPolicy, *, sample: int, clock: Clock
    ) -> None:
        """Set the collaborators, and how many agents are verified at a time (`sample`)."""
        self._catalog = catalog
        self._due = due
        self._look_after = look_after
        self._sample = sample
        self._clock = clock

    async def run(self, signals: AgentSignals) -> int:
        """Have the next due agents verified, and return how many."""
        now, count = self._clock(), 0
        async for entry in self._due.until(now):
            try:
                agent = await self._catalog.find(entry.workspace, entry.name)
            except Unreadable as error:
                pass_over("agent", f"{entry.workspace}/{entry.name}", error)
                continue
            due = verify_due(agent.record, self._look_after) if agent is not None and agent.record else None
            if due is None:
                if outlasted(entry, now):
                    await self._due.drop(entry.workspace, entry.name, entry.hour)
                continue
            if due <= now:
                await signals.send(entry.workspace, entry.name, Verify(new_id()))
                count += 1
            if count == self._sample:
                break
        return count
