"""Runs that a budget stops: entered where they are found when there is room again, and announced."""

from __future__ import annotations

from kernel.clock import Clock
from lifecycle.conversations.run import Run
from lifecycle.runs.metering import charged
from llmops.budgets.news import BudgetNews
from llmops.budgets.rules import BudgetBlocked
from llmops.budgets.waits import Wait, Waits


class BlockedRuns:
    """Enters and announces runs that a budget stops."""

    def __init__(self, waits: Waits, news: BudgetNews, clock: Clock) -> None:
        self._waits = waits
        self._news = news
        self._clock = clock

    async def enter(self, wait: Wait) -> None:
        """Enter the run among those that wait for a budget; entering it again replaces why it waits."""
        await self._waits.enter(wait)

    async def announce(self, run: Run, error: BudgetBlocked) -> None:
        """Publish that the run waits."""
        await self._news.blocked(charged(run), run.attempt, error, self._clock())
