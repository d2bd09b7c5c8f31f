"""A run: one query to an agent and its one answer. Pure rules; storage is `lifecycle.conversations.store`.

queued ──claim──► running ──► succeeded
  ▲  └─cancel─┐      │├─────► failed
  └──retry────┼──────┘└─────► cancelled
              └─────────────► cancelled
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.errors import AppError
from lifecycle.conversations.priority import Priority
from llmops.evaluation.scoring import Score
from llmops.spend.usage import Spend


class RunState(StrEnum):
    """Where a run is."""

    QUEUED = "queued"  # accepted; waiting for its turn or its next attempt
    RUNNING = "running"  # a worker holds its lease
    WAITING = "waiting"  # kept, without a message on the queue, until its session goes on
    SUCCEEDED = "succeeded"  # answered
    FAILED = "failed"  # will not be answered unless it is redriven; `error` says why
    CANCELLED = "cancelled"  # stopped on request


class Stage(StrEnum):
    """What a user sees of a run's progress."""

    INITIALIZING = "INITIALIZING"  # a worker has it and gets the agent ready
    CHECKING_BUDGET = "CHECKING_BUDGET"  # what its budgets allow is looked at; a run that has none is not
    RUNNING = "RUNNING"  # the model works
    EVALUATING = "EVALUATING"  # the answer is scored and recorded
    COMPLETED = "COMPLETED"  # answered
    FAILED = "FAILED"  # not answered


NOT_QUEUED = "not_queued"
"""Error code of a run whose message the broker did not accept; submitting it again queues it."""

TERMINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run (or its last attempt) failed: a stable code and a sentence that carries no prompt or secret."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Run:
    """One query and its answer.

    Attributes:
        id: Unique in the workspace; the caller's idempotency key stands for it.
        workspace: Workspace it belongs to.
        session_id: The conversation it is part of.
        agent: The agent asked.
        query: The user's message.
        revision: The agent's declaration at the time of submission; the run uses this one or a newer one.
        created_at: When it was accepted, aware UTC.
        user_id: Who asked; None when nobody in particular.
        metadata: The caller's own strings, returned as given.
        expected_topics: What a good answer speaks of, for evaluation.
        context: What the answer must be borne out by; None when nothing was given.
        stream: Whether its text is told as `run.delta` events while the model writes it.
        priority: Its session's; says which queue it travels on.
        number: The how-manieth run of its session it is, from 1; 0 where that was not counted yet.
        state: See RunState.
        stage: Latest progress; None before a worker has it.
        attempt: How many times a worker has claimed it.
        redriven: How many times it was put back after it had failed.
        waits: How many attempts ended because a budget did not let them go on.
        approved: Whether an operator lets it go on where its agent's ladder asks.
        lease_owner: The worker that runs it; None unless running.
        lease_until: Until when nobody else may claim it; None unless running.
        cancel_requested: Whether it is to be cancelled at the next opportunity.
        call: The resumption of its session that queued it last (`Session.resumes`); 0 when it was queued by submission.
        streamed: Characters of this attempt's text that were told as events.
        started_at: When it was first claimed.
        finished_at: When it reached a terminal state.
        answer: The answer's text; None unless succeeded.
        model: The model that answered, as the provider named it.
        version: The agent's version at the provider that answered.
        score: How good the answer looks; None unless succeeded.
        error: Why it, or its last attempt, failed.
        spend: Of all attempts.
        wasted: Of these, attempts that gave no answer and that no other went on from.
        progress: Where a budget stopped it, for the next attempt to go on from (`lifecycle.runs.progress`); else None.
        carried: What attempts spent that such a next one goes on from.
        traceparent: The trace it was submitted in, which every attempt goes on with; None outside a trace.
    """

    id: str
    workspace: str
    session_id: str
    agent: str
    query: str
    revision: int
    created_at: datetime
    user_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    expected_topics: tuple[str, ...] = ()
    context: str | None = None
    stream: bool = False
    priority: Priority = Priority.NORMAL
    number: int = 0
    state: RunState = RunState.QUEUED
    stage: Stage | None = None
    attempt: int = 0
    redriven: int = 0
    waits: int = 0
    approved: bool = False
    lease_owner: str | None = None
    lease_until: datetime | None = None
    cancel_requested: bool = False
    call: int = 0
    streamed: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    answer: str | None = None
    model: str | None = None
    version: str | None = None
    score: Score | None = None
    error: RunError | None = None
    spend: Spend = field(default_factory=Spend)
    wasted: Spend = field(default_factory=Spend)
    progress: str | None = None
    carried: Spend = field(default_factory=Spend)
    traceparent: str | None = None

    @property
    def finished(self) -> bool:
        """Whether it has reached a terminal state."""
        return self.state in TERMINAL

    @property
    def never_queued(self) -> bool:
        """Whether it failed only because the broker did not say that it took the message."""
        return self.state is RunState.FAILED and self.error is not None and self.error.code == NOT_QUEUED

    def held_by(self, worker: str) -> bool:
        """Return whether the worker still holds it: nobody took it over when its lease ran out."""
        return self.state is RunState.RUNNING and self.lease_owner == worker


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt produced: the text, its score, and the model and agent version it came from."""

    text: str
    score: Score | None
    model: str | None
    version: str


def busy_until(run: Run, now: datetime) -> datetime | None:
    """Return until when another worker's lease keeps the run from being claimed; None when it can be."""
    if run.state is RunState.RUNNING and run.lease_until is not None and run.lease_until > now:
        return run.lease_until
    return None


def claimed(run: Run, worker: str, now: datetime, lease: timedelta, call: int = 0) -> Run:
    """Return the run, held by the worker for the lease, one attempt on; `call` is what its message was sent by."""
    return replace(
        run,
        state=RunState.RUNNING,
        stage=Stage.INITIALIZING,
        attempt=run.attempt + 1,
        lease_owner=worker,
        lease_until=now + lease,
        started_at=run.started_at or now,
        error=None,
        call=max(run.call, call),
        streamed=0,
    )


def renewed(run: Run, now: datetime, lease: timedelta) -> Run:
    """Return the run with its lease extended from now."""
    return replace(run, lease_until=now + lease)


def answered(run: Run, answer: Answer, now: datetime) -> Run:
    """Return the run with its answer."""
    done = _finished(run, RunState.SUCCEEDED, Stage.COMPLETED, now)
    return replace(done, answer=answer.text, score=answer.score, model=answer.model, version=answer.version, error=None)


def failed(run: Run, error: AppError, now: datetime) -> Run:
    """Return the run, failed for good."""
    done = _finished(run, RunState.FAILED, Stage.FAILED, now)
    return replace(done, error=RunError(error.code, error.detail))


def cancelled(run: Run, now: datetime) -> Run:
    """Return the run, cancelled."""
    return replace(_finished(run, RunState.CANCELLED, Stage.FAILED, now), cancel_requested=True)


def lost(run: Run, error: AppError, now: datetime) -> Run:
    """Return a run that no worker will finish any more: failed, or cancelled where that was accepted before."""
    return cancelled(run, now) if run.cancel_requested else failed(run, error, now)


def released(run: Run, error: AppError) -> Run:
    """Return the run, queued for its next attempt, with why this one failed."""
    return replace(
        run,
        state=RunState.QUEUED,
        lease_owner=None,
        lease_until=None,
        error=RunError(error.code, error.detail),
    )


def kept(run: Run) -> Run:
    """Return the run, kept until its session goes on."""
    return replace(run, state=RunState.WAITING, lease_owner=None, lease_until=None, error=None)


def blocked(run: Run, error: AppError) -> Run:
    """Return the run, kept because a budget does not let it go on; its session waits with it."""
    reason = RunError(error.code, error.detail)
    return replace(kept(run), stage=Stage.CHECKING_BUDGET, waits=run.waits + 1, error=reason)


def called(run: Run, call: int) -> Run:
    """Return the run, queued by its session's resumption of that number unless a worker has it already."""
    return replace(run, call=call, state=RunState.QUEUED if run.state is RunState.WAITING else run.state)


def requeued(run: Run, redriven: int) -> Run:
    """Return a failed run, queued again, redriven so many times in all; its attempts go on counting."""
    return replace(run, state=RunState.QUEUED, stage=None, redriven=redriven, finished_at=None)


def retry_delay_s(attempt: int, base_s: float, retry_after_s: float | None, longest_s: float = 30.0) -> float:
    """Return how long to wait before the attempt is repeated: doubling from base_s, or what the provider asked for."""
    return min(max(base_s * 2.0 ** max(0, attempt - 1), retry_after_s or 0.0), longest_s)


def _finished(run: Run, state: RunState, stage: Stage, now: datetime) -> Run:
    done = replace(run, state=state, stage=stage, lease_owner=None, lease_until=None, finished_at=now)
    return replace(done, progress=None)
