"""A workflow run as values: how far it is, what its steps' runs came to, and what is yet to be done for it.

It is a row of its own and no `Run`: it has no agent, no attempts, no lease and no model calls, which is all that a run
is made of. What it needs of the others is that each step is a run.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kernel.journal import Event
from lifecycle.conversations.priority import Priority
from llmops.spend.usage import Spend

_RUNS = uuid.UUID("5f0c0a52-0f0c-5c6e-9f0e-8b1f3b6a7d21")  # namespace of ids of the runs that steps are

STEP_TIMEOUT = "step_timeout"
"""Code of a step's run that took longer than its step allows, and was cancelled."""
STEP_FAILED = "step_failed"
"""Code of a workflow run that a step has failed."""
CONDITION_UNDECIDED = "condition_undecided"
"""Code of a step whose condition could not be decided."""
RUN_ERASED = "run_erased"
"""Code of a step whose run, or an answer that it needs, was erased."""
CHAT_LIMIT = "group_chat_limit"
"""Code of a group chat that came to its limit before its manager had an answer."""
CHAT_FAILED = "group_chat_failed"
"""Code of a group chat whose manager could not be followed."""
CANCELLED = "cancelled"
"""Code of what was cancelled, or was not begun because of that."""


class WorkflowState(StrEnum):
    """Where a workflow run is."""

    RUNNING = "running"  # a step is under way, or about to be
    SUCCEEDED = "succeeded"  # its last step has answered, or was skipped
    FAILED = "failed"  # a step failed that it cannot go on without; `code` and `failed_step` say more
    CANCELLED = "cancelled"  # stopped on request, and its steps with it


class StepState(StrEnum):
    """Where a step is."""

    PENDING = "pending"  # waits for the steps before it
    RUNNING = "running"  # its agent is asked
    SUCCEEDED = "succeeded"  # answered
    FAILED = "failed"  # not answered, whoever was asked; `code` says why
    SKIPPED = "skipped"  # its condition did not hold, or the workflow run ended before it
    CANCELLED = "cancelled"  # stopped with the workflow run


@dataclass(frozen=True, slots=True)
class Try:
    """One run of a step.

    Attributes:
        agent: Who is asked.
        run_id: The run; it has a session of its own.
        started_at: When it was decided on; it is submitted right after.
        state: `running`, and what it came to.
        code: Why it brought no answer; empty where it did, or is under way.
        stopping: Code of why it is to be cancelled; empty while it is not.
        refused: Whether the run could not be submitted, so that there is none.
        ended_at: When its end was learnt; None while it is under way.
        spend: What its attempts spent.
        score: How good its answer looked then, 0-100; None where nothing was said of it.
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
        """Whether it is under way."""
        return self.state is StepState.RUNNING


@dataclass(frozen=True, slots=True)
class ChatState:
    """How far a group chat is.

    Attributes:
        checkpoint: The checkpoint that it goes on from; empty for its beginning.
        told: How many of the answers that were given are in the checkpoint.
    """

    checkpoint: str = ""
    told: int = 0


@dataclass(frozen=True, slots=True)
class StepRun:
    """A step of a workflow run.

    Attributes:
        name: Its name.
        state: See StepState.
        tries: Its runs, one after another; none for a step that only closes branches, or was not begun.
        code: Why it failed or was skipped; empty otherwise.
        ended_at: When it was over; None while it is not.
        chat: How far it is, of a group chat; None for any other step.
    """

    name: str
    state: StepState = StepState.PENDING
    tries: tuple[Try, ...] = ()
    code: str = ""
    ended_at: datetime | None = None
    chat: ChatState | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more happens in it."""
        return self.state not in (StepState.PENDING, StepState.RUNNING)

    @property
    def open(self) -> Try | None:
        """The run that is under way; None for none."""
        return self.tries[-1] if self.tries and self.tries[-1].open else None

    @property
    def answered_by(self) -> Try | None:
        """The run that answered; None for none."""
        return self.tries[-1] if self.tries and self.tries[-1].state is StepState.SUCCEEDED else None

    @property
    def answers(self) -> Sequence[Try]:
        """The runs that answered, in order: of a group chat, all who spoke."""
        return [one for one in self.tries if one.state is StepState.SUCCEEDED]

    @property
    def turn_tries(self) -> Sequence[Try]:
        """The runs since the last that answered: of a group chat, those of who is to speak."""
        after = next((at for at, one in enumerate(reversed(self.tries)) if one.state is StepState.SUCCEEDED), None)
        return self.tries[len(self.tries) - after :] if after is not None else self.tries

    @property
    def score(self) -> int | None:
        """How good its answer looked when it was given."""
        return self.answered_by.score if self.answered_by else None

    @property
    def spend(self) -> Spend:
        """What all its runs spent."""
        return sum((one.spend for one in self.tries), Spend())


class Do(StrEnum):
    """What can be yet to be done."""

    START = "start"  # submit a step's run
    TURN = "turn"  # find out who speaks next in a group chat
    CANCEL = "cancel"  # cancel a step's run
    PUBLISH = "publish"  # append an event to the workspace's stream


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that is yet to be done; doing it again changes nothing.

    Attributes:
        number: Unique in its workflow run, rising; also the event's number, so that the stream has it once.
        do: What.
        step: The step, of a run to start or a group chat.
        run_id: The run to start or cancel; empty for an event.
        event: The event; None for the others.
    """

    number: int
    do: Do
    step: str = ""
    run_id: str = ""
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of a workflow.

    Attributes:
        input: The text that its prompts take in.
        user_id: Who asked; None when nobody in particular.
        metadata: The caller's own strings, which every step's run has, too.
        priority: Which queue its steps' runs travel on.
        digest: SHA-256 (hex) of all this, by which a repeated request is recognised.
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
        workflow: The workflow.
        version: Its version, which the run keeps.
        asked: What was asked.
        steps: Its steps, in order.
        created_at: When it was accepted.
        state: See WorkflowState.
        cancel_requested: Whether it is to be cancelled.
        failed_step: The step that has failed it; empty for none.
        finished_at: When it reached a terminal state; None while it has not.
        numbers: How many effects it has had; the number of the next one.
        outbox: What is yet to be done, in order; committed with the decision that makes it necessary.
    """

    workspace: str
    id: str
    workflow: str
    version: int
    asked: Asked
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
        """Whether it has reached a terminal state; what is in its outbox may still be done."""
        return self.state is not WorkflowState.RUNNING

    @property
    def stopping(self) -> bool:
        """Whether no step is begun any more."""
        return self.cancel_requested or bool(self.failed_step) or self.finished

    @property
    def code(self) -> str:
        """Why it brought no answer; empty where it did, or may yet."""
        if self.state is WorkflowState.CANCELLED:
            return CANCELLED
        return STEP_FAILED if self.failed_step else ""

    @property
    def spend(self) -> Spend:
        """What its steps' runs spent, as far as their ends are known."""
        return sum((step.spend for step in self.steps), Spend())

    @property
    def score(self) -> int | None:
        """The mean score of its answers, 0-100; None where nothing is said of any."""
        return mean_score([step.score for step in self.steps])

    def step(self, name: str) -> StepRun:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)

    def step_of(self, run_id: str) -> StepRun | None:
        """Return the step that the run is of; None where it is none of its."""
        return next((step for step in self.steps if any(one.run_id == run_id for one in step.tries)), None)


def mean_score(scores: Sequence[int | None]) -> int | None:
    """Return the mean of the scores there are, rounded; None where there are none."""
    known = [score for score in scores if score is not None]
    return round(sum(known) / len(known)) if known else None


def step_run_id(workspace: str, workflow_run_id: str, step: str, number: int) -> str:
    """Return the id of a step's run, from 1: always the same, so that however often it is submitted, it runs once."""
    return str(uuid.uuid5(_RUNS, f"{workspace}:{workflow_run_id}:{step}:{number}"))
