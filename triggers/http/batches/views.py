"""Response models of batches."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from lifecycle.batches.batch_rules import BatchState
from lifecycle.batches.batch_service import BatchResult
from triggers.http.base_models import Page, View


class BatchView(View):
    """The progress of a batch: runs submitted, how many of them are under way, and how the others ended.

    `stopped_by` is why no more are submitted: `cost_cap`, or `cost_unknown` where a model's price is not known. A list
    and `cancel` count the runs that had ended when the timer last looked, `GET batches/{id}` those that have ended.
    """

    id: str
    state: BatchState
    total: int
    submitted: int
    underway: int
    succeeded: int
    failed: int
    cancelled: int
    cost_micro_usd: int
    max_cost_micro_usd: int | None
    uncosted_runs: int
    stopped_by: str | None
    created_at: datetime
    finished_at: datetime | None


class BatchPage(Page[BatchView]):
    """Batches, newest first."""


class BatchResultLine(View):
    """The result of a line: the run's state, or `not_submitted` or `refused`, and its answer or error."""

    id: str
    index: int
    agent: str
    run_id: str | None
    state: str
    answer: str | None
    error: str | None
    cost_micro_usd: int | None

    @classmethod
    def of_result(cls, result: BatchResult) -> Self:
        """Return the line of a result."""
        run = result.run
        state = run.state.value if run else "refused" if result.refused else "not_submitted"
        return cls(
            id=result.item.id,
            index=result.item.number,
            agent=result.item.agent,
            run_id=result.run_id if run else None,
            state=state,
            answer=run.answer if run else None,
            error=run.error.code if run and run.error else result.refused or None,
            cost_micro_usd=run.spend.cost_micro_usd if run else None,
        )
