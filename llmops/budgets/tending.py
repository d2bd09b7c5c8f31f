"""What a timer does for budgets and the ledger: settle what the dead have left, and forget what is over."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from kernel.errors import Unavailable
from llmops.budgets.purse import Treasury
from llmops.spend.ledger import EXPIRY_DAYS

log = logging.getLogger(__name__)

COUNTERS_KEPT_FOR = timedelta(days=90)
"""How long the counter of a run, session, day or month is kept that nobody spends from any more."""

LOOK_BACK_DAYS = 31
"""Days back in which calls that nobody settled are found after the app has not run for long."""


@dataclass(frozen=True, slots=True)
class Tended:
    """What one round did: calls recorded as unsettled, reservations freed, counters forgotten."""

    unsettled: int
    freed: int
    forgotten: int


class Tending:
    """Looks after the reservations and counters of all workspaces."""

    def __init__(self, treasury: Treasury) -> None:
        self._treasury = treasury

    async def tend(self) -> Tended:
        """Do one round; once an hour, in a round of its first minute, counters and older days are looked through.

        What it reads else is what is under way: the calls begun and not settled, and reservations. One workspace that
        is too busy holds up no other.
        """
        parts = self._treasury
        now = parts.clock()
        thorough = now.minute == 0
        unsettled = len(await parts.ledger.expire(now, LOOK_BACK_DAYS if thorough else EXPIRY_DAYS))
        freed = forgotten = 0
        async for workspace in parts.book.workspaces():
            try:
                freed += await parts.free(workspace)
                if thorough:
                    forgotten += await parts.accounts.forget(workspace, now - COUNTERS_KEPT_FOR)
            except Unavailable as error:
                log.warning("budgets of %s not tended: %s", workspace, error.code, extra={"event": "budgets.untended"})
        return Tended(unsettled, freed, forgotten)
