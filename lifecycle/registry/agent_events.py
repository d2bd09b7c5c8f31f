"""Events of agents in their workspace's stream, made from their audit entries."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kernel.errors import Unavailable
from kernel.journal import Event, Journal
from kernel.tables import Tables
from lifecycle.registry.audit import AuditEntry

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
