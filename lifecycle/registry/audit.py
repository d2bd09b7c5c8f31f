"""The audit trail of an agent (what happened to it, when, to which version, by whom and why), and its events.

Each audit entry is also an event of the workspace's stream.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.errors import Unavailable
from kernel.journal import Event, Journal
from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from kernel.tables import Tables


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


log = logging.getLogger(__name__)


class AgentEvents:
    """Publishes agents' audit entries as events. Publishing an entry again changes nothing."""

    def __init__(self, tables: Tables) -> None:
        self._journal = Journal(tables)

    async def publish(self, workspace: str, name: str, lines: Sequence[AuditEntry], *, again: bool = False) -> None:
        """Publish the entries in order; `again` says that they have probably been published.

        Raises:
            Unavailable: It is not certain that all are published; publish them again.
        """
        for line in lines:
            key = f"agent:{name}/{line.id}/{line.step}"
            await self._journal.record(workspace, key, event_of(name, line), again=again)

    async def publish_if_possible(self, workspace: str, name: str, lines: Sequence[AuditEntry]) -> None:
        """Publish the entries; errors are only logged, for entries that will be published again anyway."""
        try:
            await self.publish(workspace, name, lines)
        except Unavailable as error:
            log.warning(
                "agent %s: event not published yet: %s", name, error.code, extra={"event": "events.unpublished"}
            )


def event_of(name: str, line: AuditEntry) -> Event:
    """Return an audit entry as an event, without the user who caused it."""
    data = {"agent": name, "version": line.version, "why": line.why}
    return Event(f"agent.{line.step}", {key: value for key, value in data.items() if value}, line.at)
