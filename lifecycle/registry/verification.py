"""Verifies agents at their providers over time, longest unverified first."""

from __future__ import annotations

from kernel.clock import Clock
from kernel.codec import Unreadable, pass_over
from kernel.due_index import DueIndex, outlasted
from kernel.ids import new_id
from lifecycle.registry.catalog import Catalog
from lifecycle.registry.operations import Verify
from lifecycle.registry.retention import RetentionPolicy, verify_due
from lifecycle.registry.signals import AgentSignals


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
