"""What the API answers of runs and dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lifecycle.conversations.priority import Priority
from lifecycle.conversations.run import RunError, RunState, Stage
from llmops.evaluation.scoring import Score
from triggers.http.views import Page, SpendView, View


class RunView(View):
    """A run: what was asked, how far it is, and its answer once there is one."""

    id: str
    agent: str
    session_id: str
    user_id: str | None
    query: str
    state: RunState
    stage: Stage | None
    attempt: int
    redriven: int
    cancel_requested: bool
    answer: str | None
    score: Score | None
    model: str | None
    version: str | None
    error: RunError | None
    spend: SpendView
    wasted: SpendView
    metadata: Mapping[str, str]
    stream: bool
    priority: Priority
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class DeadLetterView(View):
    """A message that the queue gave up on."""

    id: int
    code: str
    detail: str
    redrivable: bool
    run_id: str | None
    session_id: str | None
    agent: str | None
    deliveries: int
    enqueued_at: datetime


class RedrivenView(View):
    """A run that was put back on the queue."""

    run_id: str
    session_id: str
    agent: str


class DeadLetterPage(Page[DeadLetterView]):
    """Dead letters by id: those of each queue in the order they came."""
