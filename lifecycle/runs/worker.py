"""Running runs: claim, resolve the agent, call the model, record one answer. Safe to be told the same run twice."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from kernel.clock import Clock
from kernel.errors import AppError, Cancelled, InvalidInput, NotFound, TooLarge, Unavailable
from kernel.ids import new_id
from lifecycle.conversations import dispatch as admission
from lifecycle.conversations import run as runs
from lifecycle.conversations.dispatch import Verdict
from lifecycle.conversations.run import Answer, Run, Stage
from lifecycle.conversations.session import SessionState
from lifecycle.conversations.store import Change, Conversations, Stored, Turn
from lifecycle.conversations.submission import Submission
from lifecycle.conversations.transitions import outcome, stage_event
from lifecycle.registry.catalog import Catalog
from lifecycle.registry.signals import AgentSignals
from lifecycle.runs import attempt as attempts
from lifecycle.runs import spans
from lifecycle.runs.attempt import Attempt, Attempts
from lifecycle.runs.endings import Endings
from lifecycle.runs.lease import RunLease
from lifecycle.runs.metering import charged
from lifecycle.runs.submit import Intake
from lifecycle.runs.waiters import Notices
from llmops.budgets.news import BudgetNews
from llmops.budgets.rules import BudgetBlocked
from llmops.budgets.waits import Waits
from llmops.spend.ledger import Ledger
from llmops.spend.usage import Spend

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """How runs are run.

    Attributes:
        lease: How long a worker holds a run without a sign of life.
        look_every: How often a running run is looked at: cancelled? progress to write? lease to renew?
        max_attempts: Attempts before a run that keeps failing is given up.
        retry_base_s: Wait before the second attempt, in seconds; it doubles from there.
    """

    lease: timedelta
    look_every: timedelta
    max_attempts: int
    retry_base_s: float


class Runner:
    """Runs one submission at a time per call; any number of calls may go on at once."""

    def __init__(
        self,
        catalog: Catalog,
        conversations: Conversations,
        intake: Intake,
        attempts: Attempts,
        *,
        ledger: Ledger,
        waits: Waits,
        news: BudgetNews,
        notices: Notices,
        endings: Endings,
        clock: Clock,
        policy: RunPolicy,
    ) -> None:
        self._catalog = catalog
        self._conversations = conversations
        self._intake = intake
        self._attempts = attempts
        self._ledger = ledger
        self._waits = waits
        self._news = news
        self._notices = notices
        self._endings = endings
        self._clock = clock
        self._policy = policy

    async def process(
        self, submission: Submission, signals: AgentSignals, *, last_delivery: bool = False
    ) -> Run | None:
        """Bring the run to an end, or raise so that it is delivered again; None for one that was erased.

        A run whose session is on hold is kept as `waiting`; whoever lets the session go on queues it again.

        Args:
            submission: What the message says. A run nobody has stored yet is stored first.
            signals: The way to the agents' actors.
            last_delivery: Whether the queue will not deliver the message again if this fails.

        Raises:
            AppError: A retriable one: the attempt failed, or another worker has the run; deliver again. When it was
                the last attempt, the run is recorded as failed before. Any other: the message cannot become a run.
        """
        found = await self._conversations.load(submission.workspace, submission.session_id, submission.run_id)
        if found.session is not None and found.session.state is SessionState.ERASED:
            return None
        with spans.delivery(submission, found.run):
            return await self._process(submission, found, signals, last_delivery=last_delivery)

    async def _process(
        self, submission: Submission, found: Stored, signals: AgentSignals, *, last_delivery: bool
    ) -> Run:
        stored = await self._stored(submission, found)
        try:
            claimed = await self._claim(stored, submission.call)
            if isinstance(claimed, Run):
                spans.settled(claimed, here=stored.run is not None and not stored.run.finished)
                self._notices.finished(claimed.id)
                await self._endings.found(claimed)
                return claimed
            spans.claimed(claimed.run)
            return await self._attempt(claimed, signals, last_delivery=last_delivery)
        finally:
            self._notices.finished(submission.run_id)

    async def _stored(self, submission: Submission, stored: Stored) -> Stored:
        if stored.run is None:
            agent = await self._catalog.get(submission.workspace, submission.agent)
            await self._intake.accept(agent, submission.request, submission.run_id)
            stored = await self._conversations.load(submission.workspace, submission.session_id, submission.run_id)
        if stored.run is None:
            msg = "The run id was used for a run of another session."
            raise InvalidInput(msg, code="invalid_message")
        if (misuse := admission.misuse(submission, stored)) is not None:
            raise InvalidInput(misuse, code="invalid_message")
        return stored

    async def _claim(self, stored: Stored, call: int = 0) -> RunLease | Run:
        """Return a lease on the run, or the run if it is finished or it is not its turn."""
        give_up = self._clock() + self._policy.lease * 2
        holder = new_id()
        turn = Verdict.RUN

        def decide(stored: Stored) -> Change | None:
            nonlocal turn
            if stored.run is None or stored.session is None:
                raise NotFound
            now = self._clock()
            session, run = stored.session, stored.run
            if run.never_queued:  # it was, after all: only the broker's answer was lost
                session, run = replace(session, pending=session.pending + 1), runs.requeued(run, run.redriven)
            if run.finished or runs.busy_until(run, now):
                return None
            if run.cancel_requested:
                return outcome(session, run, runs.cancelled(run, now), (), (), now)
            turn = admission.verdict(session, run, call, now)
            if turn is Verdict.KEEP:
                return admission.kept(session, run, now)
            if turn is Verdict.EXPIRE:
                return admission.expired(session, run, now)
            if turn is Verdict.FORGET:
                return None
            claimed = runs.claimed(run, holder, now, self._policy.lease, call)
            return outcome(session, run, claimed, [stage_event(claimed, Stage.INITIALIZING, now)], (), now)

        while True:
            before = stored.run
            if before is None:
                raise NotFound
            stored = await self._conversations.update(
                before.workspace, before.session_id, before.id, decide, known=stored
            )
            run = stored.run
            if run is None or run.finished or turn is not Verdict.RUN:
                return run or before
            if run.held_by(holder):
                return self._lease(stored, holder)
            # A live worker, or one that died a moment ago, has it. Its lease ends the wait, or its answer does.
            if self._clock() >= give_up:
                msg = "Another worker is running this run."
                raise Unavailable(msg, code="run_busy")
            await asyncio.sleep(self._policy.look_every.total_seconds())
            stored = await self._conversations.load(run.workspace, run.session_id, run.id)

    def _lease(self, stored: Stored, holder: str) -> RunLease:
        policy = self._policy
        return RunLease(
            self._conversations,
            stored,
            holder,
            clock=self._clock,
            lasts=policy.lease,
            look_every=policy.look_every,
        )

    async def _attempt(self, lease: RunLease, signals: AgentSignals, *, last_delivery: bool) -> Run:
        attempt = self._attempts.begin(lease, signals)
        work = asyncio.create_task(attempt.answer())
        watch = asyncio.create_task(lease.watch(work))
        try:
            outcome = await work
        except asyncio.CancelledError:
            if not (lease.lost or lease.cancelled):
                raise  # this worker is being stopped; the lease runs out and the run is delivered again
            outcome = Cancelled()
        except AppError as failure:
            outcome = failure
        except Exception as defect:  # noqa: BLE001 - recorded with the run, and tried again
            outcome = attempts.defect(defect)
        finally:
            work.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)  # never in the middle of a write of the lease
        if isinstance(outcome, AppError):
            return await self._failed(lease, attempt, outcome, last_delivery=last_delivery)
        try:
            return await self._answered(lease, attempt, outcome)
        except TooLarge as error:
            return await self._failed(lease, attempt, error, last_delivery=last_delivery)

    async def _answered(self, lease: RunLease, attempt: Attempt, answer: Answer) -> Run:
        spend = await self._spend(lease.run, attempt.spend)
        now = self._clock()
        said = (("user", attempts.told(lease.run)), ("assistant", answer.text))
        turns = [Turn(role, text, lease.run.id, now) for role, text in said]
        wasted = spend - attempt.spend - (lease.run.carried if attempt.went_on else Spend())
        before = lease.run
        run = await lease.end(
            lambda run, now: replace(runs.answered(run, answer, now), spend=spend, wasted=wasted),
            turns,
            attempt.held_after(lease.session.turns + len(turns)),
        )
        if not lease.lost:
            await self._endings.ended(before, run, attempt.effort)
        return run

    async def _failed(self, lease: RunLease, attempt: Attempt, error: AppError, *, last_delivery: bool) -> Run:
        run = lease.run
        if isinstance(error, BudgetBlocked):
            return await self._blocked(lease, attempt, error)
        spend = await self._spend(run, None)
        given_up = last_delivery or run.attempt >= self._policy.max_attempts * (run.redriven + 1) + run.waits
        again = error.retriable and not given_up
        before = run
        step = partial(_after_failure, error=error, again=again, spend=spend)
        run = await lease.end(step, held=attempt.held_after_failure(error))
        if lease.lost:
            return run
        log.warning("run %s attempt %d: %s", run.id, run.attempt, error.code, extra={"event": "run.attempt_failed"})
        await self._endings.ended(before, run, attempt.effort, error)
        if run.finished and not (error.retriable and run.state is runs.RunState.FAILED):
            return run
        if again and not run.finished:
            tries = run.attempt - self._policy.max_attempts * run.redriven - run.waits
            await asyncio.sleep(runs.retry_delay_s(tries, self._policy.retry_base_s, error.retry_after_s))
        raise error

    async def _blocked(self, lease: RunLease, attempt: Attempt, error: BudgetBlocked) -> Run:
        """Keep the run until there is room in its budgets, and its session with it."""
        run = lease.run
        await self._waits.enter(attempt.wait(error))  # before the run waits, or nobody would find it
        spend = await self._spend(run, None)
        before = lease.run
        held, progress = attempt.held_after_failure(error), attempt.progress
        before_it = run.carried if attempt.went_on else Spend()
        carried = before_it + attempt.spend if progress else Spend()
        kept = {"spend": spend, "wasted": spend - carried, "progress": progress, "carried": carried}
        run = await lease.end(lambda run, _: replace(runs.blocked(run, error), **kept), held=held)
        if not lease.lost:
            await self._endings.ended(before, run, attempt.effort, error)
        if run.state is runs.RunState.WAITING and not lease.lost:
            await self._news.blocked(charged(run), run.attempt, error, self._clock())
        return run

    async def _spend(self, run: Run, this_attempt: Spend | None) -> Spend:
        """Return what all attempts spent; the ledger knows of those whose worker died, too."""
        if run.attempt == 1 and this_attempt is not None:
            return this_attempt
        first = (run.started_at or run.created_at).date()
        lines = await self._ledger.lines(run.workspace, run.id, first, self._clock().date())
        return sum((line.spend for line in lines), Spend())


def _after_failure(run: Run, now: datetime, *, error: AppError, again: bool, spend: Spend) -> Run:
    if isinstance(error, Cancelled):
        after = runs.cancelled(run, now)
    else:
        after = runs.released(run, error) if again else runs.failed(run, error, now)
    return replace(after, spend=spend, wasted=spend if after.finished else spend - after.carried)
