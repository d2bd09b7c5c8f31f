"""What the API answers of sessions."""

from __future__ import annotations

from datetime import datetime

from lifecycle.sessions.rules import SessionState
from triggers.views.base import SpendView, View


class SessionView(View):
    """A conversation."""

    id: str
    agent: str
    user_id: str | None
    state: SessionState
    end_reason: str | None
    runs: int
    pending: int
    turns: int
    spend: SpendView
    created_at: datetime
    last_activity: datetime
    ended_at: datetime | None


class NewSession(View):
    """Which agent a session is with, whose it is, and its id if the caller chooses it."""

    agent: str
    user_id: str | None = None
    session_id: str | None = None


class TurnView(View):
    """One message of a conversation."""

    role: str
    text: str
    run_id: str
    at: datetime
