"""What a timer does for budgets and the ledger: settle what the dead have left, and forget what is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from llmops.budgets.purse import Treasury

COUNTERS_KEPT_FOR = timedelta(days=90)
"""How long the counter of a run, session, day or month is kept that nobody spends from any more."""


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
        """Do one round; counters are looked through once an hour, in the first round of it.

        What it reads is what is under way: the calls begun and not settled, and reservations.
        """
        parts = self._treasury
        now = parts.clock()
        unsettled = await parts.ledger.expire(now)
        freed = forgotten = 0
        async for workspace in parts.book.workspaces():
            freed += await parts.free(workspace)
            if now.minute == 0:
                forgotten += await parts.accounts.forget(workspace, now - COUNTERS_KEPT_FOR)
        return Tended(unsettled, freed, forgotten)
