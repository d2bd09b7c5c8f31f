"""What the API answers of runs and dead letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from lifecycle.conversations.priority import Priority
from lifecycle.conversations.run import RunError, RunState, Stage
from lifecycle.runs.steps import StepKind
from llmops.evaluation.scoring import Score
from triggers.http.views import Body, Page, SpendView, View


class HopView(View):
    """A run going on with another member of its team, why, and what it had cost with the member before."""

    at: datetime
    source: str
    target: str
    by: str
    reason: str
    agent: str
    cost_micro_usd: int


class TeamRunView(View):
    """A run as its team sees it: why its first member was asked, the members it went on to, and who answered.

    `by` is the person who answered, empty for an agent.
    """

    team: str
    reason: str
    hops: Sequence[HopView]
    by: str


class ToolCallView(View):
    """A call of a caller's own tool that the model asks for; `arguments` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


class RunView(View):
    """A run: what was asked, how far it is, and its answer once there is one.

    `team` is null unless one was asked; `workflow_run_id` is the workflow run that it is a step of, null for none.
    `tool_calls` are those of the caller's own tools that it ended with instead of an answer.
    """

    id: str
    agent: str
    session_id: str
    workflow_run_id: str | None
    user_id: str | None
    query: str
    state: RunState
    stage: Stage | None
    attempt: int
    redriven: int
    cancel_requested: bool
    answer: str | None
    finish_reason: str | None
    tool_calls: Sequence[ToolCallView]
    score: Score | None
    model: str | None
    version: str | None
    error: RunError | None
    spend: SpendView
    wasted: SpendView
    metadata: Mapping[str, str]
    stream: bool
    priority: Priority
    team: TeamRunView | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class FeedbackBody(Body):
    """What somebody thinks of an answer; `comment` is kept as the reason of the score, and erased with the session."""

    helpful: bool
    comment: str | None = Field(default=None, max_length=2000)


class StepView(View):
    """A step of a run: a model call, a tool call, or a wait; `ms` is null while it is not over.

    Arguments are `[hidden]` unless the tool shows them, its result is null unless it shows it; both are null where they
    are gone.
    """

    kind: StepKind
    attempt: int
    at: datetime | None
    ms: int | None
    name: str
    outcome: str
    call_id: str | None
    arguments: Mapping[str, Any] | None
    result_bytes: int | None
    result: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_micro_usd: int | None
    deployment: str | None


class StepPage(Page[StepView]):
    """The steps of a run, in order; there is only one page."""


class DeadLetterView(View):
    """A run that failed for good, or a message that the queue gave up on; `id` is the run's, or a number."""

    id: str
    code: str
    detail: str
    redrivable: bool
    run_id: str | None
    session_id: str | None
    agent: str | None
    deliveries: int
    enqueued_at: datetime


class RedrivenView(View):
    """A run that was put back on the queue, or what asks for a workflow: that has no `agent`."""

    run_id: str
    session_id: str
    agent: str | None


class DeadLetterPage(Page[DeadLetterView]):
    """Failed runs in the order they were accepted, then messages in the order they came."""


class RunPage(Page[RunView]):
    """Runs, newest first."""
