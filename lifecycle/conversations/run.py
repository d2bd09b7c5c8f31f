"""A run: one query to an agent and its one answer. Pure rules; storage is `lifecycle.conversations.session_store`.

queued ──claim──► running ──► succeeded
  ▲  └─cancel─┐      │├─────► failed
  └──retry────┼──────┘└─────► cancelled
              └─────────────► cancelled
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from enum import StrEnum

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.attempt_costs import Costs
from lifecycle.conversations.client_tool_values import ClientCall, ClientTools
from lifecycle.conversations.run_callbacks import Callback
from lifecycle.conversations.session_priority import Priority
from lifecycle.conversations.team_assignment import TeamRun
from llmops.evaluation.combined_score import Score
from llmops.facts.attempt_fact import Call, Ending, ToolCall
from llmops.spend.usage import Spend


class RunState(StrEnum):
    """State of a run."""

    QUEUED = "queued"  # accepted; waits to be started, or for its next attempt
    RUNNING = "running"  # a worker holds its lease
    WAITING = "waiting"  # not on the queue until its session is resumed
    SUCCEEDED = "succeeded"  # answered
    FAILED = "failed"  # final unless it is redriven; `error` has the reason
    CANCELLED = "cancelled"  # stopped on request


class Stage(StrEnum):
    """Progress of a run, as shown to users."""

    INITIALIZING = "INITIALIZING"  # a worker has claimed it and gets the agent ready
    CHECKING_BUDGET = "CHECKING_BUDGET"  # its budgets are checked; skipped without budgets
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
    """Why a run or its last attempt failed: a stable code, and a sentence without prompts or secrets."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class RunInput:
    """The request of a run.

    Attributes:
        query: The user's message.
        revision: Revision of the agent's declaration at submission; the run uses this or a newer one.
        user_id: Who asked; None if not given.
        metadata: The caller's own strings, returned as given.
        expected_topics: What a good answer mentions, for evaluation.
        context: What the answer must be grounded in; None when not given.
        stream: Whether its text is published as `run.delta` events while the model writes it.
        callback: Where its end is reported; None for nowhere.
        workflow_run_id: Id of the workflow run that it is a step of; None for none.
        client_tools: The caller's tools, and the results of their calls; None for none.
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
    """How the run is queued and what it waits for.

    Attributes:
        priority: Its session's priority, which determines the queue.
        number: Its number in its session, from 1; 0 if unknown (runs of earlier versions).
        resumption: The session's resumption that queued it last (`Session.resumes`); 0 if queued by submission.
        redriven: How many times it was redriven.
        uncounted: How many attempts do not count as failures, e.g. because a budget stopped them.
        sends: How many requests have begun to send its message.
        unsent: Of these, how many failed; the run counts as not queued only when all have.
        approved: Whether an operator lets it pass its agent's degradation steps that ask for approval.
        not_before: When its next attempt is due; None for at once.
        awaits: Ids of approvals that must be decided before it continues.
        for_approvals: Whether it waits for approvals, or did so in its last wait.
        traceparent: W3C trace context of its submission, which every attempt continues; None outside a trace.
        team: Its state in a team; None without a team.
    """

    priority: Priority = Priority.NORMAL
    number: int = 0
    resumption: int = 0
    redriven: int = 0
    uncounted: int = 0
    sends: int = 1
    unsent: int = 0
    approved: bool = False
    not_before: datetime | None = None
    traceparent: str | None = None
    awaits: tuple[str, ...] = ()
    for_approvals: bool = False
    team: TeamRun | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """When the run was accepted, first claimed, and finished, aware UTC; None before."""

    accepted: datetime
    started: datetime | None = None
    finished: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Which worker holds the run, and until when no other may claim it."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Effort:
    """What an attempt did.

    Attributes:
        calls: Its model calls that are settled, in order.
        tools: Calls of its function tools.
        version: The agent's version at the provider; empty if it ended before that was known.
        finish_reason: Why the model stopped, as the provider reports it; empty when unknown.
        went_on: Whether it continued from an earlier attempt's progress.
    """

    calls: tuple[Call, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    version: str = ""
    finish_reason: str = ""
    went_on: bool = False

    @property
    def spend(self) -> Spend:
        """The sum of its model calls."""
        return sum((call.spend for call in self.calls), Spend())


@dataclass(frozen=True, slots=True)
class Attempt:
    """The latest attempt at the run, stored with the run so that its costs are known if its worker dies.

    Attributes:
        number: Its number, from 1; 0 before the first.
        claimed_at: When it began; None before the first.
        effort: What it has done so far; once ended, in all.
        open: The model call that may be under way, at its estimate; None if there is none.
        carried_micro_usd: What earlier attempts spent on the progress that it continues, in millionths of a USD.
        streamed: Characters of its text published as events.
        ending: How it ended; None before.
        ended_at: When it ended, aware UTC; None before.
        code: Error code if it gave no answer; else empty.
        dead: Whether the run failed with it, but might succeed when redriven.
        continues: Whether the next attempt continues its progress.
        agent: The agent that made it, if the run was handed to another one since; else empty.
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
        """What it has done, with an open call counted at its estimate, as it may have been made."""
        return self.effort if self.open is None else replace(self.effort, calls=(*self.effort.calls, self.open))


@dataclass(frozen=True, slots=True)
class Result:
    """The run's answer, or why it or its last attempt failed.

    Attributes:
        answer, score: The answer's text and its score; None unless succeeded.
        model, version: The model that answered, as the provider names it, and the agent's version there.
        finish_reason: Why the model stopped: `stop`, `length`, …; None unless succeeded and reported.
        error: Why it, or its last attempt, failed; None otherwise.
        calls: The calls of client tools that it ended with instead of an answer.
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
        id: Unique in the workspace; derived from the caller's idempotency key if there is one.
        workspace: Workspace it belongs to.
        session_id: Its session.
        agent: Its agent.
        input: The request.
        times: When it was accepted, claimed and finished.
        dispatch: How it is queued.
        state, stage, lease: Its state; its latest progress and its worker, None before a worker claims it.
        cancel_requested: Whether it will be cancelled at the next opportunity.
        last, lost: Its latest attempt; and the one before, if its worker died and it is not recorded yet.
        result: Its answer or error.
        costs: What all its attempts cost.
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
        """Whether it has reached a final state."""
        return self.state in TERMINAL

    @property
    def never_queued(self) -> bool:
        """Whether it failed only because the broker did not confirm its message."""
        return self.state is RunState.FAILED and self.error is not None and self.error.code == NOT_QUEUED

    @property
    def dead(self) -> bool:
        """Whether it failed but might succeed when redriven; it is listed until redriven or dismissed."""
        return self.state is RunState.FAILED and self.last.dead

    @property
    def attempt(self) -> int:
        """How many times it was claimed."""
        return self.last.number

    @property
    def team(self) -> TeamRun | None:
        """Its state in a team; None without a team."""
        return self.dispatch.team

    @property
    def query(self) -> str:
        """The user's message."""
        return self.input.query

    @property
    def user_id(self) -> str | None:
        """Who asked; None if not given."""
        return self.input.user_id

    @property
    def metadata(self) -> Mapping[str, str]:
        """The caller's own strings."""
        return self.input.metadata

    @property
    def tool_calls(self) -> tuple[ClientCall, ...]:
        """The calls of client tools that it ended with."""
        return self.result.calls

    @property
    def stream(self) -> bool:
        """Whether its text is published while the model writes it."""
        return self.input.stream

    @property
    def workflow_run_id(self) -> str | None:
        """Id of the workflow run that it is a step of; None for none."""
        return self.input.workflow_run_id

    @property
    def priority(self) -> Priority:
        """Its session's priority."""
        return self.dispatch.priority

    @property
    def number(self) -> int:
        """Its number in its session, from 1."""
        return self.dispatch.number

    @property
    def resumption(self) -> int:
        """Number of the session's resumption that queued it last; 0 if queued by submission."""
        return self.dispatch.resumption

    @property
    def redriven(self) -> int:
        """How many times it was redriven."""
        return self.dispatch.redriven

    @property
    def created_at(self) -> datetime:
        """When it was accepted, aware UTC."""
        return self.times.accepted

    @property
    def started_at(self) -> datetime | None:
        """When it was first claimed, aware UTC; None before."""
        return self.times.started

    @property
    def finished_at(self) -> datetime | None:
        """When it reached a final state, aware UTC; None before."""
        return self.times.finished

    @property
    def answer(self) -> str | None:
        """The answer's text; None unless succeeded."""
        return self.result.answer

    @property
    def model(self) -> str | None:
        """The model that answered; None unless succeeded."""
        return self.result.model

    @property
    def version(self) -> str | None:
        """The agent's version that answered; None unless succeeded."""
        return self.result.version

    @property
    def score(self) -> Score | None:
        """The answer's score; None unless succeeded."""
        return self.result.score

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped; None unless succeeded and reported."""
        return self.result.finish_reason

    @property
    def error(self) -> RunError | None:
        """Why it, or its last attempt, failed; None otherwise."""
        return self.result.error

    @property
    def spend(self) -> Spend:
        """What all attempts spent."""
        return self.costs.spend

    @property
    def wasted(self) -> Spend:
        """What attempts without an answer spent that no other attempt continued."""
        return self.costs.wasted

    def held_by(self, worker: str) -> bool:
        """Return whether the worker still holds it: no other has claimed it since."""
        return self.state is RunState.RUNNING and self.lease is not None and self.lease.owner == worker
