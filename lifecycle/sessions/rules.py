"""A session: one conversation with one agent, and the rules of who may use it and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.errors import Conflict, NotFound
from llmops.spend.usage import Spend


class SessionState(StrEnum):
    """Where a conversation is in its life."""

    STARTED = "started"  # created, nothing answered yet
    ACTIVE = "active"  # at least one run was answered
    ENDED = "ended"  # takes no more runs; `end_reason` says why


@dataclass(frozen=True, slots=True)
class Held:
    """The conversation at the provider that holds a session's history.

    Attributes:
        id: The provider's name of it (`lifecycle.registry.providers.AgentProvider.conversation`).
        turns: How many of the session's turns it holds, the first ones.
    """

    id: str
    turns: int


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation.

    Attributes:
        workspace: Workspace it belongs to.
        id: Unique in the workspace; a UUIDv7 unless the caller chose one.
        agent: The agent it is with, for all its life.
        user_id: Whose it is; None when nobody in particular.
        created_at: Aware UTC.
        last_activity: When a run was last submitted or finished.
        state: See SessionState.
        end_reason: Why it ended: `ended_by_request` or `idle_timeout`; None while it has not.
        ended_at: When it ended; None while it has not.
        runs: Runs submitted.
        pending: Of these, not yet finished.
        turns: Messages in the history; also the sequence number of the next one.
        events: Events recorded; also the sequence number of the next one.
        spend: Of all its runs' model calls.
        held: The conversation at the provider that holds the history; None where nothing is known to hold it.
    """

    workspace: str
    id: str
    agent: str
    user_id: str | None
    created_at: datetime
    last_activity: datetime
    state: SessionState = SessionState.STARTED
    end_reason: str | None = None
    ended_at: datetime | None = None
    runs: int = 0
    pending: int = 0
    turns: int = 0
    events: int = 0
    spend: Spend = field(default_factory=Spend)
    held: Held | None = None


def check_usable(session: Session, agent: str, user_id: str | None) -> None:
    """Check that a run with this agent, for this user, may be submitted to the session.

    Raises:
        NotFound: It is another user's; told as if it did not exist.
        Conflict: It is with another agent, or has ended.
    """
    if session.user_id is not None and user_id != session.user_id:
        msg = f"There is no session {session.id!r}."
        raise NotFound(msg, code="session_not_found")
    if session.agent != agent:
        msg = f"Session {session.id!r} is with another agent; a session keeps its agent."
        raise Conflict(msg, code="session_agent_mismatch")
    if session.state is SessionState.ENDED:
        msg = f"Session {session.id!r} has ended ({session.end_reason}); start a new one."
        raise Conflict(msg, code="session_ended")


def is_idle(session: Session, now: datetime, idle_timeout: timedelta) -> bool:
    """Return whether nothing happened in an open session for the idle timeout."""
    return session.state is not SessionState.ENDED and session.last_activity + idle_timeout <= now


def ended(session: Session, reason: str, now: datetime) -> Session:
    """Return the session, ended for the reason."""
    return replace(session, state=SessionState.ENDED, end_reason=reason, ended_at=now)
