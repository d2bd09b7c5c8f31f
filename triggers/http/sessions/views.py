"""Request and response models of sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from lifecycle.configuration.preferences import Preferences
from lifecycle.conversations.session import Limits, SessionState
from lifecycle.conversations.session_priority import Priority
from triggers.http.base_models import Body, Page, SpendView, View
from triggers.http.runs.views import RunView, ToolCallView

_YEAR_S = 366 * 86400


class LimitsView(View):
    """Limits that end or pause a session, and of the history given to a model; null for the default."""

    max_turns: int | None = Field(default=None, ge=2, le=1_000_000, strict=True)
    max_duration_s: float | None = Field(default=None, gt=0, le=_YEAR_S, strict=True)
    idle_timeout_s: float | None = Field(default=None, gt=0, le=_YEAR_S, strict=True)
    max_history_tokens: int | None = Field(default=None, ge=100, le=10_000_000, strict=True)
    max_failures: int | None = Field(default=None, ge=1, le=1000, strict=True)

    def limits(self) -> Limits:
        """Return the limits."""
        return Limits(**self.model_dump())


class PinView(View):
    """The declaration that a session is pinned to, and the fingerprint of the version made from it."""

    revision: int
    fingerprint: str


class PersonWaitView(View):
    """A session with a person: since when, due when, and claimed by whom."""

    since: datetime
    due: datetime | None
    level: int
    claimed_by: str
    claimed_at: datetime | None


class AssignmentView(View):
    """The team of a session, the member it is with (empty while none is free), the reason, and the member before."""

    team: str
    member: str
    reason: str
    since: datetime
    trail: Sequence[str]
    hops: int
    person_wait: PersonWaitView | None


class SessionView(View):
    """A session; `assignment` is null where it belongs to a single agent for good."""

    id: str
    agent: str
    user_id: str | None
    state: SessionState
    pause_reason: str | None
    end_reason: str | None
    limits: LimitsView
    preferences: Preferences | None
    priority: Priority
    runs: int
    pending: int
    turns: int
    pin: PinView | None
    assignment: AssignmentView | None
    spend: SpendView
    created_at: datetime
    last_activity: datetime
    ended_at: datetime | None


class NewSession(Body):
    """A session to start: its agent, its user, and its id if the caller chooses it."""

    agent: str
    user_id: str | None = None
    session_id: str | None = None
    limits: LimitsView = LimitsView()
    preferences: Preferences | None = None
    pin_version: bool = False
    priority: Priority | None = None


class TurnView(View):
    """A message of a session; `author` is the person who wrote an answer, empty for agents and users.

    `tool_calls` are calls of the caller's tools by the assistant; the text of a message of role `tool` contains their
    results as JSON.
    """

    role: str
    text: str
    run_id: str
    at: datetime
    author: str
    tool_calls: Sequence[ToolCallView]


class EventView(View):
    """An event of a session, in an export."""

    number: int
    name: str
    data: Mapping[str, Any]
    at: datetime


class TranscriptView(View):
    """A session with all its content."""

    session: SessionView
    messages: Sequence[TurnView]
    runs: Sequence[RunView]
    events: Sequence[EventView]


_KEPT = {
    "facts": "Cost, duration and outcome of attempts, for accounting; with run and session, without user.",
    "scores": "Scores of the answers by agent and version; without reasons, which could quote texts.",
    "events": "The workspace's events, until they expire; without texts and user.",
    "budgets": "The user's total spend, where a budget of the user counts it; not by session.",
}


class ReceiptView(View):
    """What was erased of a session, what is kept and why; `completed_at` is null while a worker is being stopped.

    Of one whose own row could not be read (`unreadable`), a provider may keep a conversation that nothing names now.
    """

    session_id: str
    requested_at: datetime
    completed_at: datetime | None
    runs: int
    messages: int
    events: int
    conversations: int
    ledger_lines: int
    unreadable: bool
    kept: Mapping[str, str] = _KEPT


class UserReceiptView(View):
    """What was erased of a user; `completed_at` is null while the rest is erased in the background."""

    user_id: str
    requested_at: datetime
    completed_at: datetime | None
    sessions: int
    runs: int


class SessionPage(Page[SessionView]):
    """Sessions, newest first."""


class TurnPage(Page[TurnView]):
    """Messages in order."""
