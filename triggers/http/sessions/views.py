"""What the API answers of sessions, and takes for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from lifecycle.configuration.preferences import Preferences
from lifecycle.conversations.priority import Priority
from lifecycle.conversations.session import Limits, SessionState
from triggers.http.runs.views import RunView, ToolCallView
from triggers.http.views import Body, Page, SpendView, View

_YEAR_S = 366 * 86400


class LimitsView(View):
    """What ends or pauses a session by itself, and how much of its history a model is told; null is no own limit."""

    max_turns: int | None = Field(default=None, ge=2, le=1_000_000, strict=True)
    max_duration_s: float | None = Field(default=None, gt=0, le=_YEAR_S, strict=True)
    idle_timeout_s: float | None = Field(default=None, gt=0, le=_YEAR_S, strict=True)
    max_history_tokens: int | None = Field(default=None, ge=100, le=10_000_000, strict=True)
    max_failures: int | None = Field(default=None, ge=1, le=1000, strict=True)

    def limits(self) -> Limits:
        """Return the limits."""
        return Limits(**self.model_dump())


class PinView(View):
    """The declaration of its agent that a session is pinned to, and the fingerprint of the version made from it."""

    revision: int
    fingerprint: str


class DeskView(View):
    """A conversation that a person has: since when, until when it is due, and who has taken it."""

    since: datetime
    due: datetime | None
    level: int
    claimed_by: str
    claimed_at: datetime | None


class ServedView(View):
    """Which team serves a session, who of it has it (empty while it waits for room) and why, and who had it."""

    team: str
    member: str
    reason: str
    since: datetime
    trail: Sequence[str]
    hops: int
    desk: DeskView | None


class SessionView(View):
    """A conversation; `served` is null where it is with one agent for all its life."""

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
    served: ServedView | None
    spend: SpendView
    created_at: datetime
    last_activity: datetime
    ended_at: datetime | None


class NewSession(Body):
    """Which agent a session is with, whose it is, and its id if the caller chooses it."""

    agent: str
    user_id: str | None = None
    session_id: str | None = None
    limits: LimitsView = LimitsView()
    preferences: Preferences | None = None
    pin_version: bool = False
    priority: Priority | None = None


class TurnView(View):
    """One message of a conversation; `author` is the person who wrote an answer, empty for agents and users.

    `tool_calls` are those of the caller's own tools that an assistant asked for; the text of a message of role `tool`
    is what came of them, as JSON.
    """

    role: str
    text: str
    run_id: str
    at: datetime
    author: str
    tool_calls: Sequence[ToolCallView]


class EventView(View):
    """An event of a session, as an export has it."""

    number: int
    name: str
    data: Mapping[str, Any]
    at: datetime


class TranscriptView(View):
    """A session as a whole."""

    session: SessionView
    messages: Sequence[TurnView]
    runs: Sequence[RunView]
    events: Sequence[EventView]


_KEPT = {
    "facts": "What attempts spent, took and came to, for the accounts; with run and session, without user.",
    "scores": "How good the answers were, as numbers by agent and version; no reasons, which could quote.",
    "events": "The workspace's events, until their time is over; no texts, no user.",
    "budgets": "What the user has spent in all, where a budget of the user's counts it; not by session.",
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
    """What this call erased of a user; `completed_at` is null while the rest goes on in the background."""

    user_id: str
    requested_at: datetime
    completed_at: datetime | None
    sessions: int
    runs: int


class SessionPage(Page[SessionView]):
    """Sessions, newest first."""


class TurnPage(Page[TurnView]):
    """Messages in order."""
