"""Request and response models of runs and dead letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from lifecycle.conversations.run import RunError, RunState, Stage
from lifecycle.conversations.session_priority import Priority
from lifecycle.runs.run_timeline import StepKind
from llmops.evaluation.combined_score import Score
from triggers.http.base_models import Body, Page, SpendView, View


class HopView(View):
    """A handoff of a run to another member of its team, the reason, and the cost with the member before."""

    at: datetime
    source: str
    target: str
    by: str
    reason: str
    agent: str
    cost_micro_usd: int


class TeamRunView(View):
    """A run within its team: why its first member was chosen, its handoffs, and who answered.

    `by` is the person who answered; empty for an agent.
    """

    team: str
    reason: str
    hops: Sequence[HopView]
    by: str


class ToolCallView(View):
    """A call of a caller's tool by the model; `arguments` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


class RunView(View):
    """A run: its query, state, and answer.

    `team` is null unless a team was asked; `workflow_run_id` is the workflow run that it is a step of, null for none.
    `tool_calls` are calls of the caller's tools that it ended with instead of an answer.
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
    """A rating of an answer; `comment` is stored as the reason of the score, and erased with the session."""

    helpful: bool
    comment: str | None = Field(default=None, max_length=2000)


class StepView(View):
    """A step of a run: a model call, a tool call, or a wait; `ms` is null while it is not finished.

    Arguments are `[hidden]`, and results null, unless the tool exposes them; both are null once erased.
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
    """A failed run that a retry may help, or a message that the queue gave up on; `id` is the run's, or a number."""

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
    """A run that was put back on the queue, or a request for a workflow, which has no `agent`."""

    run_id: str
    session_id: str
    agent: str | None


class DeadLetterPage(Page[DeadLetterView]):
    """Failed runs in the order accepted, then messages in the order received."""


class RunPage(Page[RunView]):
    """Runs, newest first."""
