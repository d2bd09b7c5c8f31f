"""The budget timer: settle reservations of workers that died, and delete counters of past periods."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from kernel.codec import Unreadable
from kernel.errors import Unavailable
from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from llmops.budgets.call_budget import BudgetService

log = logging.getLogger(__name__)

COUNTERS_KEPT_FOR = timedelta(days=90)
"""How long the counter of a run, session, day or month is kept after its last change."""


@dataclass(frozen=True, slots=True)
class MaintenanceResult:
    """What one round did: the numbers of reservations released and counters deleted."""

    freed: int
    forgotten: int


class BudgetMaintenance:
    """Maintains the reservations and counters of all workspaces."""

    def __init__(self, budget_service: BudgetService) -> None:
        self._budget_service = budget_service

    async def run(self) -> MaintenanceResult:
        """Do one round. Once an hour, in its first minute, past counters and older days are looked through too.

        Otherwise a round reads only open reservations and calls under way. A workspace that fails does not stop the
        others.
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
                log.warning(
                    "maintenance of the budgets of %s failed: %s",
                    workspace,
                    error.code,
                    extra={"event": "budgets.untended"},
                )
        return MaintenanceResult(freed, forgotten)
