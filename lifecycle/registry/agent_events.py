"""What happens to agents as events of their workspace, from the lines of their audit trails."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kernel.errors import Unavailable
from kernel.journal import Event, Journal
from kernel.tables import Tables
from lifecycle.registry.audit import AuditEntry

log = logging.getLogger(__name__)


class AgentEvents:
    """Tells what happens to agents. The same line again tells nothing."""

    def __init__(self, tables: Tables) -> None:
        self._journal = Journal(tables)

    async def publish(self, workspace: str, name: str, lines: Sequence[AuditEntry], *, again: bool = False) -> None:
        """Tell the lines, in order; `again` says that they most likely have been told.

        Raises:
            Unavailable: It cannot be said whether all are told; tell them again.
        """
        for line in lines:
            key = f"agent:{name}/{line.id}/{line.step}"
            await self._journal.record(workspace, key, event_of(name, line), again=again)

    async def publish_if_possible(self, workspace: str, name: str, lines: Sequence[AuditEntry]) -> None:
        """Tell the lines, unless that cannot be done now: for lines that are told again before they are let go."""
        try:
            await self.publish(workspace, name, lines)
        except Unavailable as error:
            log.warning("agent %s: event not told yet: %s", name, error.code, extra={"event": "events.unpublished"})


def event_of(name: str, line: AuditEntry) -> Event:
    """Return a line of an agent's audit trail as an event; who asked for it is not for everybody who follows."""
    data = {"agent": name, "version": line.version, "why": line.why}
    return Event(f"agent.{line.step}", {key: value for key, value in data.items() if value}, line.at)
