"""Executes runs: claim, attempt, commit of the result. Idempotent under redelivery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from kernel.errors import AppError, Cancelled, NotFound, TooLarge, Unavailable
from kernel.ids import new_id
from kernel.lazy_dataclass import dataclass
from lifecycle.approvals.gate import ApprovalPending
from lifecycle.conversations import message_delivery as dispatch
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.message_delivery import DispatchDecision
from lifecycle.conversations.run import Run, RunState, Stage
from lifecycle.conversations.run_transitions import Answer
from lifecycle.conversations.session import Session, SessionState
from lifecycle.conversations.session_updates import outcome, stage_event, turns_of
from lifecycle.runs import trace_spans as spans
from lifecycle.runs.answer_drafts import REJECTED
from lifecycle.runs.attempt import AttemptFactory, Prepared, RunAttempt
from lifecycle.runs.attempt_failures import defect
from lifecycle.runs.fact_writer import FactWriter, ended_attempts
from lifecycle.runs.retries import Requeue, last_attempt, retry_delay_s, tries
from lifecycle.runs.run_lease import RunLease
from lifecycle.teams import handoff_rules as moves
from lifecycle.teams.handoff import HandedOver
from llmops.budgets.budget_rules import BudgetBlocked
from llmops.capacity.pools import PoolFull, PoolRefused

if TYPE_CHECKING:
    from kernel.clock import Clock
    from kernel.journal import Event
    from lifecycle.conversations.run_request import Submission
    from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.entering_waits import Blocked, WaitingRuns
    from lifecycle.runs.run_submission import RunSubmission
    from lifecycle.teams.handoff_rules import Move

log = logging.getLogger(__name__)

_LONGEST_POSTPONEMENT_S = 60.0
"""Longest postponement of a run for lack of pool capacity, in seconds: capacity may be free sooner than expected."""


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """Settings of the worker.

    Attributes:
        lease: How long a lease lasts without being renewed.
        look_every: How often a worker checks for cancellation and renews its lease.
        max_attempts: Attempts after which a failing run is given up.
        retry_base_s: Delay before the second attempt, in seconds; doubled for each further one.
        retry_longest_s: Longest delay that a provider can ask for, in seconds.
    """

    lease: timedelta
    look_every: timedelta
    max_attempts: int
    retry_base_s: float
    retry_longest_s: float


class RunWorker:
    """Executes one run per call; calls may be concurrent."""

    def __init__(
        self,
        conversations: ConversationStore,
        intake: RunSubmission,
        attempts: AttemptFactory,
        recorder: FactWriter,
        blocked: WaitingRuns,
        clock: Clock,
        policy: RunPolicy,
    ) -> None:
        self._conversations = conversations
        self._intake = intake
        self._attempts = attempts
        self._recorder = recorder
        self._blocked = blocked
        self._clock = clock
        self._policy = policy

    async def process(
        self,
        submission: Submission,
        signals: AgentSignals,
        *,
        requeue: Requeue | None = None,
        last_delivery: bool = False,
    ) -> Run | None:
        """Execute the run until it ends, waits or has to be retried; return it, None if its session was erased.

        A run to be retried is put back on the queue, scheduled for its retry. A run whose session is on hold waits, and
        is queued when the session is resumed.

        Args:
            submission: The message. A run that is not stored yet is stored first.
            signals: Sends signals to agents' actors.
            requeue: Puts the run back on the queue; None if the caller retries (then this call sleeps for the delay).
            last_delivery: Whether the queue will not deliver the message again if this call fails.

        Raises:
            AppError: If retriable, the message has to be delivered again: another worker has the run, its result could
                not be stored, its last attempt failed, or there is no `requeue`. Otherwise the message cannot become a
                run.
        """
        found = await self._conversations.load(submission.workspace, submission.session_id, submission.run_id)
        if found.session is not None and found.session.state is SessionState.ERASED:
            return None
        with spans.delivery(submission, found.run):
            stored = await self._intake.stored(submission, found)
            for earlier in await self._intake.overtaken(stored):
                await self.process(earlier, signals, requeue=requeue)
            while True:
                claimed = await self._claim(stored, submission, requeue)
                if isinstance(claimed, Run):
                    return await self._not_claimed(claimed, stored, requeue)
                spans.claimed(claimed.lease.run)
                run = await self._attempt(claimed, signals, requeue, last_delivery=last_delivery)
                if claimed.lease.lost or not runs.goes_on(run):
                    return run
                # Go on with the team's next member; if this worker dies, the redelivered message finds it queued.
                stored = await self._conversations.load(run.workspace, run.session_id, run.id)

    async def _not_claimed(self, run: Run, stored: StoredConversation, requeue: Requeue | None) -> Run:
        spans.settled(run, here=stored.run is not None and not stored.run.finished)
        if run.finished:
            await self._recorder.record(run)
            await self._attempts.give_back(run)
        if run.dead and requeue is not None and run.error is not None:
            # Fails until the broker dead-letters the message, so that it is among the dead messages too.
            raise Unavailable(run.error.detail, code=run.error.code)
        return run

    async def _claim(
        self, stored: StoredConversation, submission: Submission, requeue: Requeue | None
    ) -> Claimed | Run:
        """Return the claimed run; or the run itself, if it is finished or this delivery may not run it."""
        give_up = self._clock() + self._policy.lease * 2
        holder = new_id()
        prepared = await self._prepared(stored, submission.resumption)
        while True:
            delivery = _Delivery(
                holder, submission.resumption, prepared, await self._recorded(stored), self._policy.lease
            )
            before = stored.run
            if before is None:
                raise NotFound
            stored = await self._conversations.update(
                before.workspace,
                before.session_id,
                before.id,
                partial(delivery.decided, self._clock),
                known=stored,
            )
            run = stored.run
            if delivery.verdict is DispatchDecision.AGAIN:
                continue
            if delivery.verdict is DispatchDecision.PAUSE and run is not None and requeue is not None:
                await requeue.send(run)
            if run is None or run.finished or delivery.verdict is not DispatchDecision.RUN:
                return run or before
            if run.held_by(holder):
                if run.lost is not None:
                    await self._recorder.record(run)
                retried = run.attempt > 1 and stored.session is not None and stored.session.resuming
                if requeue is not None and retried:
                    await requeue.release(run)
                return Claimed(self._lease(stored, holder), prepared)
            # Another worker has it, alive or recently dead. The wait ends with its lease or its result.
            if self._clock() >= give_up:
                msg = "Another worker is running this run."
                raise Unavailable(msg, code="run_busy")
            await asyncio.sleep(self._policy.look_every.total_seconds())
            stored = await self._conversations.load(run.workspace, run.session_id, run.id)

    async def _prepared(self, stored: StoredConversation, resumption: int) -> Prepared:
        run, session, now = stored.run, stored.session, self._clock()
        if run is None or session is None or run.finished or runs.busy_until(run, now):
            return Prepared()
        if dispatch.decide(session, run, resumption, now) is not DispatchDecision.RUN:
            return Prepared()
        return await self._attempts.prepare(stored)

    async def _recorded(self, stored: StoredConversation) -> frozenset[int]:
        """Record the ended attempts before another is begun, and return their numbers."""
        run = stored.run
        if run is None or run.finished or run.attempt == 0 or not any(ended_attempts(run)):
            return frozenset()
        await self._recorder.record(run)
        return frozenset(attempt.number for attempt in ended_attempts(run))

    def _lease(self, stored: StoredConversation, holder: str) -> RunLease:
        policy = self._policy
        return RunLease(
            self._conversations, stored, holder, clock=self._clock, lasts=policy.lease, look_every=policy.look_every
        )

    async def _attempt(
        self, claimed: Claimed, signals: AgentSignals, requeue: Requeue | None, *, last_delivery: bool
    ) -> Run:
        lease = claimed.lease
        attempt = self._attempts.begin(lease, signals, claimed.prepared)
        work = asyncio.create_task(attempt.answer())
        watch = asyncio.create_task(lease.watch(work))
        try:
            came = await work
        except asyncio.CancelledError:
            if not (lease.lost or lease.cancelled):
                raise  # this worker is stopping; the lease expires and the run is delivered again
            came = Cancelled()
        except AppError as failure:
            came = failure
        except Exception as error:  # noqa: BLE001 - recorded with the run, and tried again
            came = defect(error)
        finally:
            work.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)  # never interrupts a write of the lease
        if isinstance(came, Answer):
            try:
                return await self._answered(lease, attempt, came)
            except TooLarge as error:
                came = error
        if isinstance(came, (BudgetBlocked, ApprovalPending)):
            return await self._stopped(lease, attempt, came)
        if isinstance(came, HandedOver):
            return await self._handed_over(lease, attempt, came.move)
        return await self._failed(lease, attempt, came, requeue, last_delivery=last_delivery)

    async def _answered(self, lease: RunLease, attempt: RunAttempt, answer: Answer) -> Run:
        turns = turns_of(lease.run, answer, self._clock())
        effort = attempt.effort
        held = attempt.provider_conversation_after(lease.session.turns + len(turns))
        run = await lease.end(lambda run, now: runs.answered(run, effort, answer, now), turns, held)
        return await self._ended(lease, attempt, run)

    async def _stopped(self, lease: RunLease, attempt: RunAttempt, error: Blocked) -> Run:
        """Have the run and its session wait for its budgets, or for decisions on its tool calls."""
        asked = await self._blocked.enter(lease.run, attempt, error)  # before it waits, so that it is found
        effort, progress = attempt.effort, attempt.progress
        held = attempt.provider_conversation_after_failure(error)
        ids = [approval.id for approval in asked]
        run = await lease.end(lambda run, now: runs.blocked(run, effort, error, progress, now, ids), held=held)
        run = await self._ended(lease, attempt, run)
        if run.state is RunState.WAITING and not lease.lost:
            await self._blocked.announce(run, error, asked)
        return run

    async def _handed_over(self, lease: RunLease, attempt: RunAttempt, move: Move, failed: str = "") -> Run:
        """Hand the run and its session over to another member of the team."""
        before, effort = lease.session, attempt.effort

        def moving(session: Session, run: Run, now: datetime) -> tuple[Session, Run, Sequence[Event]]:
            return moves.handed_over(session, run, move, effort, now, failed)

        run = await self._ended(lease, attempt, await lease.hand_over(moving))
        if attempt.handoffs is not None:
            await attempt.handoffs.finish(before, lease.session, move)
        return run

    async def _failed(
        self,
        lease: RunLease,
        attempt: RunAttempt,
        error: AppError,
        requeue: Requeue | None,
        *,
        last_delivery: bool,
    ) -> Run:
        run, effort = lease.run, attempt.effort
        counts = {"redriven": run.redriven, "waits": run.dispatch.uncounted}
        full = isinstance(error, PoolFull)
        last = not full and last_attempt(run.attempt, self._policy.max_attempts, **counts)
        retriable = error.retriable and not isinstance(error, PoolRefused)
        again = retriable and not last and not (last_delivery and requeue is None)
        tried = tries(run.attempt, self._policy.max_attempts, **counts)
        wait_s = retry_delay_s(tried, self._policy.retry_base_s, error.retry_after_s, self._policy.retry_longest_s)
        if full:
            wait_s = min(max(1.0, error.retry_after_s or 0.0), _LONGEST_POSTPONEMENT_S)
            attempt.note_postponed(error, wait_s)
        progress = attempt.progress
        if attempt.handoffs is not None and not (full or error.code in (Cancelled.code, REJECTED)):
            move = await attempt.handoffs.failed(last=not again)
            if move is not None:
                return await self._handed_over(lease, attempt, move, error.code)
        if again and requeue is not None:
            await requeue.announce(run)

        def step(run: Run, now: datetime) -> Run:
            if isinstance(error, Cancelled):
                return runs.cancelled(run, now, effort)
            if again:
                due = now + timedelta(seconds=wait_s) if requeue is not None else None
                if full:
                    return runs.postponed(run, effort, error, progress, now, due)
                return runs.released(run, effort, error, now, due)
            return runs.failed(run, error, now, effort, dead=retriable)

        run = await lease.end(step, held=attempt.provider_conversation_after_failure(error))
        run = await self._ended(lease, attempt, run)
        if lease.lost:
            return run
        event = "run.postponed" if full else "run.attempt_failed"
        log.warning("run %s attempt %d: %s", run.id, run.attempt, error.code, extra={"event": event})
        if run.state is RunState.QUEUED and requeue is not None:
            await requeue.send(run)
            return run
        if run.state is RunState.QUEUED:
            await asyncio.sleep(wait_s)
        if run.state is RunState.QUEUED or run.dead:
            raise error
        return run

    async def _ended(self, lease: RunLease, attempt: RunAttempt, run: Run) -> Run:
        await attempt.close()  # if this worker dies here, the run has the data to settle it
        if not lease.lost:
            await self._recorder.record(run)
        return run


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this worker has claimed, and what was prepared for its attempt."""

    lease: RunLease
    prepared: Prepared


@dataclass(slots=True)
class _Delivery:
    """Decides whether to claim a run whose message has arrived.

    Attributes:
        holder: The claiming worker's id.
        resumption: Number of the resumption that sent the message; 0 for a submission.
        prepared: What was prepared for the attempt.
        recorded: Numbers of the earlier attempts whose facts are written.
        lease: How long the lease lasts.
        verdict: The last decision; RUN also if another worker has the run.
    """

    holder: str
    resumption: int
    prepared: Prepared
    recorded: frozenset[int]
    lease: timedelta
    verdict: DispatchDecision = DispatchDecision.RUN

    def decided(self, clock: Clock, stored: StoredConversation) -> ConversationChange | None:
        """Return what `decide` returns for the present time."""
        return self.decide(stored, clock())

    def decide(self, stored: StoredConversation, now: datetime) -> ConversationChange | None:
        """Return the change that claims the run, has it wait or gives it up; None for no change."""
        self.verdict = DispatchDecision.RUN
        if stored.run is None or stored.session is None:
            raise NotFound
        session, run = stored.session, stored.run
        if run.never_queued:  # it was queued: only the broker's response was lost
            session, run = session.counting(pending=1), runs.requeued(run, run.redriven)
        if run.finished or runs.busy_until(run, now):
            return None
        if run.cancel_requested:
            return outcome(session, run, runs.cancelled(run, now), (), (), now)
        self.verdict = dispatch.decide(session, run, self.resumption, now)
        match self.verdict:
            case DispatchDecision.KEEP:
                return dispatch.kept(session, run, now)
            case DispatchDecision.EXPIRE:
                return dispatch.expired(session, run, now)
            case DispatchDecision.RUN:
                return self._claim(session, run, now)
            case _:
                return None

    def _claim(self, session: Session, run: Run, now: datetime) -> ConversationChange | None:
        if run.attempt and not {attempt.number for attempt in ended_attempts(run)} <= self.recorded:
            self.verdict = DispatchDecision.AGAIN
            return None
        run = moves.assigned(session, run)
        session, begun = moves.begin(session, run.id, now)
        fits = self.prepared.turns == session.turns and run.attempt == 0
        claimed = runs.claimed(run, self.holder, now, self.lease, self.resumption, self.prepared.call if fits else None)
        events = [*begun, stage_event(claimed, Stage.INITIALIZING, now)]
        if fits:
            claimed = replace(claimed, stage=self.prepared.stage)
            events.append(stage_event(claimed, self.prepared.stage, now))
        return outcome(session, run, claimed, events, (), now)
