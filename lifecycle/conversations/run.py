"""A run: one query to an agent and its one answer. Pure rules; storage is `lifecycle.conversations.store`.

queued ──claim──► running ──► succeeded
  ▲  └─cancel─┐      │├─────► failed
  └──retry────┼──────┘└─────► cancelled
              └─────────────► cancelled
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from lifecycle.conversations.accounting import Costs
from lifecycle.conversations.callback import Callback
from lifecycle.conversations.client_tools import ClientCall, ClientTools
from lifecycle.conversations.priority import Priority
from lifecycle.conversations.team import TeamRun
from llmops.evaluation.scoring import Score
from llmops.facts.model import Call, Ending, ToolCall
from llmops.spend.usage import Spend


class RunState(StrEnum):
    """Where a run is."""

    QUEUED = "queued"  # accepted; waiting for its turn or its next attempt
    RUNNING = "running"  # a worker holds its lease
    WAITING = "waiting"  # without a message on the queue, until its session goes on
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
APPROVAL_NEEDED = "approval_needed"
"""Error code of a run whose tool calls wait for decisions."""

TERMINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run (or its last attempt) failed: a stable code and a sentence that carries no prompt or secret."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class RunInput:
    """What was asked.

    Attributes:
        query: The user's message.
        revision: The agent's declaration at the time of submission; the run uses this one or a newer one.
        user_id: Who asked; None when nobody in particular.
        metadata: The caller's own strings, returned as given.
        expected_topics: What a good answer speaks of, for evaluation.
        context: What the answer must be borne out by; None when nothing was given.
        stream: Whether its text is published as `run.delta` events while the model writes it.
        callback: Where its end is to be reported; None for nowhere.
        workflow_run_id: The workflow run that it is a step of; None for none.
        client_tools: Tools of the caller's, and what came of their calls; None for none.
    """

    query: str
    revision: int
    user_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    expected_topics: tuple[str, ...] = ()
    context: str | None = None
    stream: bool = False
    callback: Callback | None = None
    workflow_run_id: str | None = None
    client_tools: ClientTools | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """How the run comes to its turn.

    Attributes:
        priority: Its session's; says which queue it travels on.
        number: Its place among the runs of its session, from 1; 0 where that was not counted yet.
        call: The resumption of its session that queued it last (`Session.resumes`); 0 when it was queued by submission.
        redriven: How many times it was put back after it had failed.
        waits: How many attempts ended because a budget did not let them go on.
        sends: How many requests for it have set out to send its message.
        unsent: Of these, how many failed; the run is not queued only when all have.
        approved: Whether an operator lets it go on where its agent's degradation steps ask.
        not_before: When its next attempt is due; None for at once.
        awaits: Ids of the approvals that are yet to be decided before it goes on.
        asked: Whether it waits, or has waited last, for such decisions.
        traceparent: The trace it was submitted in, which every attempt goes on with; None outside a trace.
        team: How its team serves it; None where none does.
    """

    priority: Priority = Priority.NORMAL
    number: int = 0
    call: int = 0
    redriven: int = 0
    waits: int = 0
    sends: int = 1
    unsent: int = 0
    approved: bool = False
    not_before: datetime | None = None
    traceparent: str | None = None
    awaits: tuple[str, ...] = ()
    asked: bool = False
    team: TeamRun | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """When the run was accepted, first claimed, and reached a terminal state; aware UTC, None where it has not yet."""

    accepted: datetime
    started: datetime | None = None
    finished: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Which worker holds the run, and until when nobody else may claim it."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Effort:
    """What an attempt did.

    Attributes:
        calls: Its model calls that are settled, in order.
        tools: Its function tools' calls.
        version: The agent's version at the provider; empty when it did not come as far.
        finish_reason: Why the model stopped, as the provider said; empty when unknown.
        went_on: Whether it went on from where an earlier attempt was stopped.
    """

    calls: tuple[Call, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    version: str = ""
    finish_reason: str = ""
    went_on: bool = False

    @property
    def spend(self) -> Spend:
        """What its calls came to."""
        return sum((call.spend for call in self.calls), Spend())


@dataclass(frozen=True, slots=True)
class Attempt:
    """The latest attempt at the run as it is noted with it, so that whoever finds the run knows what it did.

    Attributes:
        number: Which one, from 1; 0 before the first.
        claimed_at: When it began; None before the first.
        effort: What it did so far, or in all once it has ended.
        open: The model call that it may be making, at its estimate; None when there is none.
        carried_micro_usd: What earlier attempts spent for it to go on from.
        streamed: Characters of its text that were published as events.
        ending: How it ended; None while it has not.
        ended_at: When it ended; None while it has not.
        code: Why it gave no answer; empty when it did.
        dead: Whether the run failed with it though trying again might have helped.
        continues: Whether the next attempt goes on from where it stopped.
        agent: The agent that made it, where the run has gone on to another one since; else empty.
    """

    number: int = 0
    claimed_at: datetime | None = None
    effort: Effort = field(default_factory=Effort)
    open: Call | None = None
    carried_micro_usd: int = 0
    streamed: int = 0
    ending: Ending | None = None
    ended_at: datetime | None = None
    code: str = ""
    dead: bool = False
    continues: bool = False
    agent: str = ""

    @property
    def noted(self) -> Effort:
        """What it is known to have done: a call that is open may have been made, and counts at its estimate."""
        return self.effort if self.open is None else replace(self.effort, calls=(*self.effort.calls, self.open))


@dataclass(frozen=True, slots=True)
class Result:
    """What came of the run: its answer, or why it (or its last attempt) failed.

    Attributes:
        answer, score: The answer's text, and how good it looks; None unless succeeded.
        model, version: The model that answered, as the provider named it, and the agent's version there.
        finish_reason: Why the model stopped: `stop`, `length`, …; None unless succeeded and told.
        error: Why it, or its last attempt, failed.
        calls: The calls of the caller's tools that it ended with instead of an answer.
    """

    answer: str | None = None
    model: str | None = None
    version: str | None = None
    score: Score | None = None
    finish_reason: str | None = None
    error: RunError | None = None
    calls: tuple[ClientCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One query and its answer.

    Attributes:
        id: Unique in the workspace; the caller's idempotency key stands for it.
        workspace: Workspace it belongs to.
        session_id: The conversation it is part of.
        agent: The agent asked.
        input: What was asked.
        times: When what happened.
        dispatch: How it comes to its turn.
        state, stage, lease: See RunState; the latest progress and the worker, None before one has it.
        cancel_requested: Whether it is to be cancelled at the next opportunity.
        last, lost: Its latest attempt; the one before, if its worker died, which is recorded after this has begun.
        result: What came of it.
        costs: What all its attempts spent.
    """

    id: str
    workspace: str
    session_id: str
    agent: str
    input: RunInput
    times: Times
    dispatch: Dispatch = field(default_factory=Dispatch)
    state: RunState = RunState.QUEUED
    stage: Stage | None = None
    lease: Lease | None = None
    cancel_requested: bool = False
    last: Attempt = field(default_factory=Attempt)
    lost: Attempt | None = None
    result: Result = field(default_factory=Result)
    costs: Costs = field(default_factory=Costs)

    @property
    def finished(self) -> bool:
        """Whether it has reached a terminal state."""
        return self.state in TERMINAL

    @property
    def never_queued(self) -> bool:
        """Whether it failed only because the broker did not say that it took the message."""
        return self.state is RunState.FAILED and self.error is not None and self.error.code == NOT_QUEUED

    @property
    def dead(self) -> bool:
        """Whether it failed though trying again might help: it is to be listed until it is redriven or dropped."""
        return self.state is RunState.FAILED and self.last.dead

    @property
    def attempt(self) -> int:
        """How many times a worker has claimed it."""
        return self.last.number

    @property
    def team(self) -> TeamRun | None:
        """How its team serves it."""
        return self.dispatch.team

    @property
    def query(self) -> str:
        """The user's message."""
        return self.input.query

    @property
    def user_id(self) -> str | None:
        """Who asked; None when nobody in particular."""
        return self.input.user_id

    @property
    def metadata(self) -> Mapping[str, str]:
        """The caller's own strings."""
        return self.input.metadata

    @property
    def tool_calls(self) -> tuple[ClientCall, ...]:
        """The calls of the caller's tools that it ended with."""
        return self.result.calls

    @property
    def context(self) -> str | None:
        """What the answer must be borne out by."""
        return self.input.context

    @property
    def stream(self) -> bool:
        """Whether its text is published while the model writes it."""
        return self.input.stream

    @property
    def workflow_run_id(self) -> str | None:
        """The workflow run that it is a step of; None for none."""
        return self.input.workflow_run_id

    @property
    def priority(self) -> Priority:
        """Which queue it travels on."""
        return self.dispatch.priority

    @property
    def number(self) -> int:
        """Its place among the runs of its session."""
        return self.dispatch.number

    @property
    def call(self) -> int:
        """The resumption of its session that queued it last."""
        return self.dispatch.call

    @property
    def redriven(self) -> int:
        """How many times it was put back after it had failed."""
        return self.dispatch.redriven

    @property
    def created_at(self) -> datetime:
        """When it was accepted."""
        return self.times.accepted

    @property
    def started_at(self) -> datetime | None:
        """When it was first claimed."""
        return self.times.started

    @property
    def finished_at(self) -> datetime | None:
        """When it reached a terminal state."""
        return self.times.finished

    @property
    def answer(self) -> str | None:
        """The answer's text; None unless succeeded."""
        return self.result.answer

    @property
    def model(self) -> str | None:
        """The model that answered."""
        return self.result.model

    @property
    def version(self) -> str | None:
        """The agent's version that answered."""
        return self.result.version

    @property
    def score(self) -> Score | None:
        """How good the answer looks."""
        return self.result.score

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped."""
        return self.result.finish_reason

    @property
    def error(self) -> RunError | None:
        """Why it, or its last attempt, failed."""
        return self.result.error

    @property
    def spend(self) -> Spend:
        """What all attempts spent."""
        return self.costs.spend

    @property
    def wasted(self) -> Spend:
        """Of these, attempts that gave no answer and that no other went on from."""
        return self.costs.wasted

    def held_by(self, worker: str) -> bool:
        """Return whether the worker still holds it: nobody took it over when its lease ran out."""
        return self.state is RunState.RUNNING and self.lease is not None and self.lease.owner == worker
