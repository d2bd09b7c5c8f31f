"""What a timer does for budgets: settle what workers that died have reserved, and delete counters that are over."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from kernel.codec import Unreadable
from kernel.errors import Unavailable
from llmops.budgets.call_budget import BudgetService

log = logging.getLogger(__name__)

COUNTERS_KEPT_FOR = timedelta(days=90)
"""How long the counter of a run, session, day or month is kept that nobody spends from any more."""


@dataclass(frozen=True, slots=True)
class MaintenanceResult:
    """What one round did: reservations freed, counters forgotten."""

    freed: int
    forgotten: int


class BudgetMaintenance:
    """Looks after the reservations and counters of all workspaces."""

    def __init__(self, budget_service: BudgetService) -> None:
        self._budget_service = budget_service

    async def run(self) -> MaintenanceResult:
        """Do one round; once an hour, in a round of its first minute, counters and older days are looked through.

        What it reads else is what is under way: the calls begun and not settled, and reservations. One workspace that
        is too busy holds up no other.
        """
        service = self._budget_service
        now = service.clock()
        thorough = now.minute == 0
        freed = forgotten = 0
        async for workspace in service.budgets.workspaces():
            try:
                freed += await service.free(workspace)
                if thorough:
                    forgotten += await service.counters.forget(workspace, now - COUNTERS_KEPT_FOR)
            except (Unavailable, Unreadable) as error:
                log.warning("budgets of %s not tended: %s", workspace, error.code, extra={"event": "budgets.untended"})
        return MaintenanceResult(freed, forgotten)
