"""Noting how attempts at runs end, for the figures of `llmops.performance`.

It is done after the run's end is written and whoever waits for it was told, so that nobody waits for it. A worker that
dies in between is followed by the message's next delivery, which finds the run ended and notes it then; only of an
attempt that was to be repeated is the note lost, and of one whose worker died in the middle there is none.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from kernel.clock import Clock
from kernel.errors import AppError
from lifecycle.conversations.run import Run, RunState
from lifecycle.runs.waiters import Notices
from llmops.performance.outcomes import Ending, Outcome, Outcomes
from llmops.spend.usage import Spend

log = logging.getLogger(__name__)

_ENDINGS = {
    RunState.SUCCEEDED: Ending.SUCCEEDED,
    RunState.FAILED: Ending.FAILED,
    RunState.CANCELLED: Ending.CANCELLED,
    RunState.QUEUED: Ending.RETRIED,
    RunState.WAITING: Ending.PAUSED,
}


@dataclass(frozen=True, slots=True)
class Effort:
    """What an attempt was made with.

    Attributes:
        version: The agent's version at the provider; empty when it did not come as far.
        model: The model that answered last, as the provider named it; empty when none did.
        model_ms: How long its model calls took.
    """

    version: str
    model: str
    model_ms: int


class Endings:
    """Notes how attempts end."""

    def __init__(self, outcomes: Outcomes, notices: Notices, clock: Clock) -> None:
        self._outcomes = outcomes
        self._notices = notices
        self._clock = clock

    async def ended(self, before: Run, after: Run, effort: Effort, error: AppError | None = None) -> None:
        """Wake who waits for the run, and note how the attempt at it ended.

        Args:
            before: The run as the attempt had it.
            after: The run as the attempt's end was written.
            effort: What the attempt was made with.
            error: Why it gave no answer; None if it did.
        """
        self._notices.finished(after.id)
        dead = error is not None and error.retriable and after.state is RunState.FAILED
        spend = after.spend - before.spend
        wasted = after.wasted.cost_micro_usd - before.wasted.cost_micro_usd
        await self._note(after, effort, spend, wasted, error.code if error else "", dead=dead)

    async def found(self, run: Run) -> None:
        """Note the end of a run that was found ended, as it is stored; noted already is fine."""
        if not run.finished:
            return
        first = run.attempt <= 1
        spend = run.spend if first else run.spend - run.wasted
        wasted = run.wasted.cost_micro_usd if first else 0
        code = run.error.code if run.error else ""
        await self._note(run, Effort(run.version or "", run.model or "", 0), spend, wasted, code, dead=False)

    async def lost(self, run: Run) -> None:
        """Note the end of a run that no worker ended: its message is a dead letter."""
        code = run.error.code if run.error else ""
        await self._note(run, Effort("", "", 0), Spend(), 0, code, dead=run.state is RunState.FAILED)

    async def _note(self, run: Run, effort: Effort, spend: Spend, wasted: int, code: str, *, dead: bool) -> None:
        ending = _ENDINGS.get(run.state)
        if ending is None:
            return
        at = run.finished_at or self._clock()
        began = run.started_at or at
        outcome = Outcome(
            workspace=run.workspace,
            agent=run.agent,
            version=effort.version,
            model=effort.model,
            run_id=run.id,
            session_id=run.session_id,
            attempt=run.attempt,
            ending=ending,
            code=code,
            dead=dead,
            model_ms=effort.model_ms,
            total_ms=_ms(run, at),
            queue_ms=_ms(run, began),
            spend=spend,
            wasted=wasted,
            quality=run.score.overall if run.score and ending is Ending.SUCCEEDED else None,
            at=at,
        )
        try:
            await self._outcomes.record(outcome)
        except AppError as failure:
            # The run has ended well or badly, and is not to be run again for a figure.
            log.warning("outcome of run %s not noted: %s", run.id, failure.code, extra={"event": "outcome.not_noted"})


def _ms(run: Run, until: datetime) -> int:
    return max(0, round((until - run.created_at).total_seconds() * 1000))
