"""Current activity of a workspace: open sessions, running runs, waiting runs."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass
from llmops.metrics.definitions import RUNNING

if TYPE_CHECKING:
    from lifecycle.approvals.store import ApprovalStore
    from lifecycle.events.daily_counts import DailyEventCounts
    from lifecycle.events.waiting_run_counts import WaitingRuns
    from llmops.budgets.waiting_run_index import BudgetWaits
    from llmops.metrics.shared import SharedMetrics


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits: runs for budgets, or approvals for decisions.

    Attributes:
        count: Number of them.
        longest_s: How long the oldest has waited, in seconds; 0 without any.
    """

    count: int
    longest_s: float


@dataclass(frozen=True, slots=True)
class Current:
    """Current activity of a workspace.

    Attributes:
        sessions_open: Sessions that were started and have not ended.
        runs_running: Runs that run, as each worker last said: some seconds ago, as METRICS_EVERY_S has it.
        waiting: Runs that wait, whatever for; how long is said of those that wait for a budget, or to go beyond one.
        held: Of the runs that wait, those that their session keeps: it is paused, or another run of it waits.
    """

    sessions_open: int
    runs_running: int
    waiting: Waiting
    held: int


class Activity:
    """Reads current activity. Its cost depends on what runs and waits, not on what is stored."""

    def __init__(
        self, daily_counts: DailyEventCounts, metrics: SharedMetrics, waits: BudgetWaits, approvals: ApprovalStore
    ) -> None:
        self._daily_counts = daily_counts
        self._metrics = metrics
        self._waits = waits
        self._approvals = approvals

    async def read(self, workspace: str, now: datetime) -> Current:
        """Return the workspace's current activity."""
        (sessions_open, runs), running, for_budgets = await asyncio.gather(
            self._daily_counts.current(workspace), self.runs_running(workspace), self.for_budgets(workspace, now)
        )
        return Current(sessions_open, running, Waiting(runs.count, for_budgets.longest_s), runs.held)

    async def sessions_open(self, workspace: str) -> int:
        """Return the number of open sessions."""
        return await self._daily_counts.open_sessions(workspace)

    async def runs_running(self, workspace: str) -> int:
        """Return the number of runs in progress."""
        series = await self._metrics.read(workspace)
        return max(0, round(sum(value for key, (value, *_) in series.items() if key[0] == RUNNING.name)))

    async def approvals(self, workspace: str, now: datetime) -> Waiting:
        """Return the approvals that wait for a decision; at most 1000 are counted."""
        count, oldest = await self._approvals.waiting(workspace)
        return Waiting(count, max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)

    async def runs_waiting(self, workspace: str) -> WaitingRuns:
        """Return how many runs wait, whatever for."""
        return await self._daily_counts.waiting_runs(workspace)

    async def for_budgets(self, workspace: str, now: datetime) -> Waiting:
        """Return the runs that wait for a budget, or for an approval to pass a degradation step."""
        begun = [wait.since async for wait, _ in self._waits.every(workspace)]
        waits = [(now - moment).total_seconds() for moment in begun if moment is not None]
        return Waiting(len(begun), max([0.0, *waits]))
