"""Values of a workflow run: its state, its steps' runs, and its outbox.

It is not a `Run`, as it has no agent, attempts, lease or model calls of its own. Each of its steps is a run.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session_priority import Priority
from llmops.spend.usage import Spend

_RUNS = uuid.UUID("5f0c0a52-0f0c-5c6e-9f0e-8b1f3b6a7d21")  # namespace of the ids of steps' runs

STEP_TIMEOUT = "step_timeout"
"""Code of a step's run that exceeded the step's time limit and was cancelled."""
STEP_FAILED = "step_failed"
"""Code of a workflow run whose step failed."""
CONDITION_UNDECIDED = "condition_undecided"
"""Code of a step whose condition could not be evaluated."""
RUN_ERASED = "run_erased"
"""Code of a step whose run, or an answer that it needs, was erased."""
CHAT_LIMIT = "group_chat_limit"
"""Code of a group chat that reached its limit before its manager had an answer."""
CHAT_FAILED = "group_chat_failed"
"""Code of a group chat whose manager's answer could not be parsed."""
CANCELLED = "cancelled"
"""Code of what was cancelled, or not started because of that."""


class WorkflowState(StrEnum):
    """State of a workflow run."""

    RUNNING = "running"  # a step is running, or about to start
    SUCCEEDED = "succeeded"  # its last step has answered, or was skipped
    FAILED = "failed"  # a required step failed; see `code` and `failed_step`
    CANCELLED = "cancelled"  # cancelled on request, with its steps


class StepState(StrEnum):
    """State of a step."""

    PENDING = "pending"  # waits for the steps before it
    RUNNING = "running"  # a run of it is under way
    SUCCEEDED = "succeeded"  # answered
    FAILED = "failed"  # not answered, after retries and fallback; see `code`
    SKIPPED = "skipped"  # its condition was false, or the workflow run ended before it
    CANCELLED = "cancelled"  # cancelled with the workflow run


@dataclass(frozen=True, slots=True)
class Try:
    """One run of a step.

    Attributes:
        agent: The agent asked.
        run_id: The run's id; it has a session of its own.
        started_at: When it was decided on, aware UTC; it is submitted right after.
        state: `running`, or its final state.
        code: Error code; empty if it succeeded or is running.
        stopping: Code of why it is being cancelled; empty if it is not.
        refused: Whether the run was refused, so that it does not exist.
        ended_at: When its end was recorded, aware UTC; None before.
        spend: What its attempts spent.
        score: Its answer's score at that time, 0-100; None without a score.
    """

    agent: str
    run_id: str
    started_at: datetime
    state: StepState = StepState.RUNNING
    code: str = ""
    stopping: str = ""
    refused: bool = False
    ended_at: datetime | None = None
    spend: Spend = field(default_factory=Spend)
    score: int | None = None

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.state is StepState.RUNNING


@dataclass(frozen=True, slots=True)
class ChatState:
    """State of a group chat.

    Attributes:
        checkpoint: The checkpoint to continue from; empty for the beginning.
        answers_included: How many of the answers are in the checkpoint.
    """

    checkpoint: str = ""
    answers_included: int = 0


@dataclass(frozen=True, slots=True)
class StepRun:
    """A step of a workflow run.

    Attributes:
        name: Its name.
        state: See `StepState`.
        tries: Its runs in order; empty for the end of a parallel step without aggregator, or before the start.
        code: Why it failed or was skipped; else empty.
        ended_at: When it ended, aware UTC; None before.
        chat: State of its group chat; None for other steps.
    """

    name: str
    state: StepState = StepState.PENDING
    tries: tuple[Try, ...] = ()
    code: str = ""
    ended_at: datetime | None = None
    chat: ChatState | None = None

    @property
    def over(self) -> bool:
        """Whether it has reached a final state."""
        return self.state not in (StepState.PENDING, StepState.RUNNING)

    @property
    def open(self) -> Try | None:
        """The run under way; None for none."""
        return self.tries[-1] if self.tries and self.tries[-1].open else None

    @property
    def answered_by(self) -> Try | None:
        """The run that answered; None for none."""
        return self.tries[-1] if self.tries and self.tries[-1].state is StepState.SUCCEEDED else None

    @property
    def answers(self) -> Sequence[Try]:
        """The runs that answered, in order: for a group chat, all contributions."""
        return [one for one in self.tries if one.state is StepState.SUCCEEDED]

    @property
    def turn_tries(self) -> Sequence[Try]:
        """The runs since the last that answered: for a group chat, those of the next speaker."""
        after = next((at for at, one in enumerate(reversed(self.tries)) if one.state is StepState.SUCCEEDED), None)
        return self.tries[len(self.tries) - after :] if after is not None else self.tries

    @property
    def score(self) -> int | None:
        """Its answer's score when it was given; None without a score."""
        return self.answered_by.score if self.answered_by else None

    @property
    def spend(self) -> Spend:
        """What all its runs spent."""
        return sum((one.spend for one in self.tries), Spend())


class EffectKind(StrEnum):
    """Kind of an effect."""

    START = "start"  # submit a step's run
    TURN = "turn"  # find out who speaks next in a group chat
    CANCEL = "cancel"  # cancel a step's run
    PUBLISH = "publish"  # append an event to the workspace's stream


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect that is to be carried out; idempotent.

    Attributes:
        number: Unique and rising in its workflow run; also the event's number, so that the stream has it once.
        kind: See `EffectKind`.
        step: The step, for a run to start or a group chat.
        run_id: Id of the run to start or cancel; empty for an event.
        event: The event; None for the others.
    """

    number: int
    kind: EffectKind
    step: str = ""
    run_id: str = ""
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """The request of a workflow run.

    Attributes:
        input: The text that prompts insert as `{input}`.
        user_id: Who asked; None if not given.
        metadata: The caller's strings, which every step's run has too.
        priority: Priority of its steps' runs.
        digest: SHA-256 (hex) of the request, by which a repeated one is recognized.
    """

    input: str
    user_id: str | None
    metadata: Mapping[str, str]
    priority: Priority
    digest: str


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """One run of a workflow.

    Attributes:
        workspace: Workspace it belongs to.
        id: Unique among the workspace's workflow runs.
        workflow: The workflow's name.
        version: Its version, which the workflow run keeps.
        request: The request.
        steps: Its steps, in order.
        created_at: When it was accepted, aware UTC.
        state: See `WorkflowState`.
        cancel_requested: Whether it is to be cancelled.
        failed_step: The step that made it fail; empty for none.
        finished_at: When it reached a final state, aware UTC; None before.
        numbers: Number of effects so far, and the number of the next one.
        outbox: Effects to carry out, in order; committed together with the decision that causes them.
    """

    workspace: str
    id: str
    workflow: str
    version: int
    request: StoredRequest
    steps: tuple[StepRun, ...]
    created_at: datetime
    state: WorkflowState = WorkflowState.RUNNING
    cancel_requested: bool = False
    failed_step: str = ""
    finished_at: datetime | None = None
    numbers: int = 0
    outbox: tuple[Effect, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether it has reached a final state; its outbox may not be empty yet."""
        return self.state is not WorkflowState.RUNNING

    @property
    def stopping(self) -> bool:
        """Whether no further step is started."""
        return self.cancel_requested or bool(self.failed_step) or self.finished

    @property
    def code(self) -> str:
        """Code of why it has no answer; empty if it has one, or may still have."""
        if self.state is WorkflowState.CANCELLED:
            return CANCELLED
        return STEP_FAILED if self.failed_step else ""

    @property
    def spend(self) -> Spend:
        """What its steps' runs have spent, as far as their ends are recorded."""
        return sum((step.spend for step in self.steps), Spend())

    @property
    def score(self) -> int | None:
        """The mean score of its answers, 0-100; None without scores."""
        return mean_score([step.score for step in self.steps])

    def step(self, name: str) -> StepRun:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)

    def step_of(self, run_id: str) -> StepRun | None:
        """Return the step that the run belongs to; None if it belongs to none."""
        return next((step for step in self.steps if any(one.run_id == run_id for one in step.tries)), None)


def mean_score(scores: Sequence[int | None]) -> int | None:
    """Return the mean of the known scores, rounded; None if there are none."""
    present = [score for score in scores if score is not None]
    return round(sum(present) / len(present)) if present else None


def step_run_id(workspace: str, workflow_run_id: str, step: str, number: int) -> str:
    """Return the id of a step's run; `number` counts from 1.

    Deterministic, so that it runs once however often submitted.
    """
    return str(uuid.uuid5(_RUNS, f"{workspace}:{workflow_run_id}:{step}:{number}"))
