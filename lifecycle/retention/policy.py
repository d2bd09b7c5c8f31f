"""How long things are kept, and which legal holds there are. Pure rules and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kernel.errors import InvalidInput
from kernel.ids import agent_name, session_id, user_id
from lifecycle.conversations.session import Session, SessionState

_YEAR_S = 366 * 86_400
HoldKind = Literal["workspace", "agent", "user", "session"]


class DataRetentionPolicy(BaseModel):
    """How long a workspace keeps its data; null keeps it until it is erased by a call.

    Attributes:
        sessions_s: Seconds after its end that a session is erased, with its messages, runs, tool calls and events.
        facts_s: Seconds after which the details of attempts (model calls, tool calls, scores with their reasons) are
            deleted, by whole days (UTC); their sums, which costs, performance and reports are made of, stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    sessions_s: int | None = Field(default=None, ge=3600, le=100 * _YEAR_S)
    facts_s: int | None = Field(default=None, ge=30 * 86_400, le=100 * _YEAR_S)


@dataclass(frozen=True, slots=True)
class HoldScope:
    """What a legal hold is on: the whole workspace, or all sessions of an agent or a user, or one session."""

    kind: HoldKind
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}" if self.subject else self.kind

    def covers(self, session: Session) -> bool:
        """Return whether the session must not be erased while the hold lasts."""
        match self.kind:
            case "workspace":
                return True
            case "agent":
                return session.agent == self.subject
            case "user":
                return session.user_id == self.subject
            case "session":
                return session.id == self.subject


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A hold: nothing in its scope is erased before it is released.

    Attributes:
        scope: What it is on.
        reason: Why, in the words of whoever placed it; a case number, say.
        since: When it was placed.
        by: Who placed it, where the platform's sign-in names them.
    """

    scope: HoldScope
    reason: str
    since: datetime
    by: str | None = None


def parse_hold_scope(text: str) -> HoldScope:
    """Return the scope that a text like `user:ada` names.

    Raises:
        InvalidInput: It names none.
    """
    kind, colon, subject = text.partition(":")
    if text == "workspace":
        return HoldScope("workspace")
    checks = {"agent": agent_name, "user": user_id, "session": session_id}
    if not colon or kind not in checks:
        rule = "A legal hold is on: workspace, agent:NAME, user:ID or session:ID."
        raise InvalidInput(rule, code="invalid_scope", fields={"scope": rule})
    return HoldScope(kind, checks[kind](subject))  # pyright: ignore[reportArgumentType] - checked above


def hold_on(session: Session, holds: Sequence[LegalHold]) -> LegalHold | None:
    """Return a hold that keeps the session; None where there is none."""
    return next((hold for hold in holds if hold.scope.covers(session)), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a session.

    Attributes:
        session_id: The session.
        erase: Whether it is erased.
        reason: Why it is, or why it is kept.
    """

    session_id: str
    erase: bool
    reason: str


def verdict(session: Session, keep_for: timedelta, holds: Sequence[LegalHold], now: datetime) -> Verdict:
    """Return what becomes of a session that was started longer ago than it is to be kept."""
    if session.state is SessionState.ERASED:
        return Verdict(session.id, False, "erased")
    if session.ended_at is None:
        return Verdict(session.id, False, "not ended")
    if now < session.ended_at + keep_for:
        return Verdict(session.id, False, "ended too recently")
    if (hold := hold_on(session, holds)) is not None:
        return Verdict(session.id, False, f"legal hold on {hold.scope}")
    return Verdict(session.id, True, "due")
