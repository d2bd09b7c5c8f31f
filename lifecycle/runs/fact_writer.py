"""Writes the fact of each attempt at a run, from the run as committed.

A run stores its latest attempt, and the one before if its worker died, until the next is begun. So any process that
finds the run, also after a crash or twice, writes the same fact under the same key, and no fact is lost: it is written
by the worker that ended the attempt, the next delivery of the message, the next attempt before it begins, or a timer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lifecycle.conversations.run import Attempt, Run, RunState
from llmops.facts.attempt_fact import AttemptFact, Attribution, Call, Continuation, Ending, Timing
from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from lifecycle.conversations.session_store import ConversationStore
    from lifecycle.runs.run_queries import CompletionWaiters
    from llmops.budgets.reservations import Intent
    from llmops.facts.fact_store import Facts

log = logging.getLogger(__name__)


def ended_attempts(run: Run) -> Iterator[Attempt]:
    """Yield the run's stored attempts that have ended for good."""
    if run.lost is not None:
        yield run.lost
    if run.last.ending is not None and (run.last.number or run.finished) and not run.never_queued:
        yield run.last


def fact_of(run: Run, attempt: Attempt) -> AttemptFact:
    """Return the fact of an ended attempt; always the same, as it is made only from committed data."""
    if attempt.ending is None or attempt.ended_at is None:
        msg = "an attempt that has not ended has no fact"
        raise ValueError(msg)
    effort, times = attempt.effort, run.times
    answered = attempt is run.last and run.state is RunState.SUCCEEDED
    return AttemptFact(
        who=Attribution(
            run.workspace, attempt.agent or run.agent, run.session_id, run.id, run.user_id or "", effort.version
        ),
        attempt=attempt.number,
        timing=Timing(times.accepted, times.started, attempt.claimed_at, attempt.ended_at),
        ending=attempt.ending,
        calls=effort.calls,
        tools=effort.tools,
        code=attempt.code if attempt.ending is not Ending.CANCELLED else "",
        dead=attempt.dead,
        finish_reason=effort.finish_reason,
        score=run.score if answered else None,
        continuation=Continuation(attempt.carried_micro_usd, effort.went_on, attempt.continues),
    )


ReportToWorkflow = Callable[[Run], Awaitable[None]]
"""Reports an ended run to its workflow run; raises Unavailable if that is not certain."""


class FactWriter:
    """Writes facts of runs, reports ends to workflow runs, and wakes callers who wait for the run."""

    def __init__(
        self,
        facts: Facts,
        conversations: ConversationStore,
        waiters: CompletionWaiters,
        report_to_workflow: ReportToWorkflow,
    ) -> None:
        self._facts = facts
        self._conversations = conversations
        self._waiters = waiters
        self._report_to_workflow = report_to_workflow

    async def record(self, run: Run) -> None:
        """Write the facts of the run's ended attempts, and report its end to its workflow run. Idempotent.

        Raises:
            Unavailable: A fact may not be written, or the workflow run not updated; call it again.
        """
        self._waiters.finished(run)
        for attempt in ended_attempts(run):
            await self._facts.record(fact_of(run, attempt))
        if run.workflow_run_id is not None and run.finished:
            await self._report_to_workflow(run)

    async def call(self, intent: Intent) -> Call | None:
        """Return a call as stored in its run or fact; None if its attempt is unknown.

        A reserved call that its attempt does not have was never made, and is returned with zero cost. Calls of attempt
        0 are those of judges, whose numbers are unique in the run.
        """
        who = intent.who
        run = await self._conversations.run(who.workspace, who.session_id, who.run_id)
        if run is None:
            return None
        for attempt in (run.last, run.lost):
            if attempt is not None and attempt.number == intent.attempt:
                return _numbered(attempt.noted.calls, intent.call)
        facts = await self._facts.of_run(who.workspace, who.agent, who.run_id, run.created_at, intent.call.at)
        if not intent.attempt:
            of_judges = [call for kept in facts if kept.fact.judge for call in kept.fact.calls]
            noted = await self._facts.noted_by_judges(
                who.workspace, who.agent, who.run_id, run.created_at, intent.call.at
            )
            return _numbered([*of_judges, *noted], intent.call)
        found = [kept.fact for kept in facts if kept.fact.attempt == intent.attempt and not kept.fact.judge]
        return _numbered(found[0].calls, intent.call) if found else None


def _numbered(calls: Sequence[Call], reserved: Call) -> Call:
    never = replace(reserved, usage=Usage(), cost_micro_usd=0, outcome="refused")
    return next((call for call in calls if call.number == reserved.number), never)
