"""Runs that wait for a budget or an approval: enters them in indexes, and announces them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lifecycle.approvals.gate import ApprovalPending
from lifecycle.runs.call_metering import charged
from llmops.budgets.budget_rules import BudgetBlocked
from llmops.budgets.waiting_run_index import APPROVAL, BudgetWaits

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.approvals.approval import Approval
    from lifecycle.approvals.requests import ApprovalRequests
    from lifecycle.conversations.run import Run
    from lifecycle.runs.attempt import RunAttempt
    from llmops.budgets.budget_events import BudgetEvents

Blocked = BudgetBlocked | ApprovalPending
"""Why a run has to wait."""


class WaitingRuns:
    """Enters and announces waiting runs."""

    def __init__(self, waits: BudgetWaits, events: BudgetEvents, requests: ApprovalRequests, clock: Clock) -> None:
        self._waits = waits
        self._events = events
        self._requests = requests
        self._clock = clock

    async def enter(self, run: Run, attempt: RunAttempt, error: Blocked) -> Sequence[Approval]:
        """Enter the run in the index of waiting runs, and return the approvals that it waits for.

        Entering it again replaces the reason.
        """
        if isinstance(error, ApprovalPending):
            records = error.records
        else:
            await self._waits.enter(attempt.wait(error))
            if error.code != APPROVAL:
                return ()
            why = "a degradation step of the agent"
            records = [self._requests.budget(run, attempt.effort.version, why)]
        # What the attempt under way has spent is part of it, the call that asks included.
        spent = run.spend.cost_micro_usd + attempt.effort.spend.cost_micro_usd
        records = [
            record if record.etag else replace(record, approval=replace(record.approval, cost_micro_usd=spent))
            for record in records
        ]
        await self._requests.enter(run, records)
        return [record.approval for record in records]

    async def announce(self, run: Run, error: Blocked, asked: Sequence[Approval]) -> None:
        """Publish that the run waits, and for what."""
        if isinstance(error, BudgetBlocked):
            await self._events.blocked(charged(run), run.attempt, error, self._clock())
        await self._requests.announce(asked)
