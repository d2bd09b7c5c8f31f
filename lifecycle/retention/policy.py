"""How long things are kept, and which legal holds there are. Pure rules and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kernel.errors import InvalidInput
from kernel.ids import agent_name, session_id, user_id
from lifecycle.conversations.session import Session, SessionState

_YEAR_S = 366 * 86_400
HoldKind = Literal["workspace", "agent", "user", "session"]


class Part(StrEnum):
    """A kind of data with a retention time of its own."""

    SESSIONS = "sessions"
    TRANSCRIPTS = "transcripts"
    RUNS = "runs"
    TOOL_CALLS = "tool_calls"
    EVALUATIONS = "evaluations"
    FACTS = "facts"


OF_SESSIONS = (Part.TRANSCRIPTS, Part.RUNS, Part.TOOL_CALLS, Part.EVALUATIONS)
"""Parts that are taken out of sessions, which stay."""
OF_DAYS = (Part.TOOL_CALLS, Part.EVALUATIONS, Part.FACTS)
"""Parts that are taken out of the facts of whole days."""


class DataRetentionPolicy(BaseModel):
    """How long a workspace keeps its data; null keeps it until it is erased by a call.

    Of a session the time begins with its end, of the facts of attempts with theirs; facts go by whole days (UTC).

    Attributes:
        sessions_s: Seconds after which a session is erased, with all of what follows that is in it.
        transcripts_s: Seconds after which a session's messages and events are deleted, the texts of its runs (query,
            context, answer), and its conversation at the provider; its runs stay with their numbers.
        runs_s: Seconds after which a session's runs are deleted; the session stays with its counters.
        tool_calls_s: Seconds after which tools' calls, with their arguments, are deleted, in runs and in facts.
        evaluations_s: Seconds after which scores and their reasons are deleted, in runs and in facts.
        facts_s: Seconds after which the facts of attempts (model calls, tool calls, scores with their reasons) are
            deleted; their sums, which costs, performance and reports are made of, stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    sessions_s: int | None = Field(default=None, ge=3600, le=100 * _YEAR_S)
    transcripts_s: int | None = Field(default=None, ge=3600, le=100 * _YEAR_S)
    runs_s: int | None = Field(default=None, ge=3600, le=100 * _YEAR_S)
    tool_calls_s: int | None = Field(default=None, ge=7 * 86_400, le=100 * _YEAR_S)
    evaluations_s: int | None = Field(default=None, ge=7 * 86_400, le=100 * _YEAR_S)
    facts_s: int | None = Field(default=None, ge=30 * 86_400, le=100 * _YEAR_S)

    def keeps(self, part: Part) -> timedelta | None:
        """Return how long it keeps the part; None for good."""
        seconds: int | None = getattr(self, f"{part}_s")
        return None if seconds is None else timedelta(seconds=seconds)


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
    """What becomes of a session, or of a part of it.

    Attributes:
        session_id: The session.
        erase: Whether it is erased.
        reason: Why it is, or why it is kept.
        part: Which part of it; the whole session unless given.
    """

    session_id: str
    erase: bool
    reason: str
    part: Part = Part.SESSIONS

    @property
    def held(self) -> bool:
        """Whether a legal hold keeps it."""
        return self.reason.startswith("legal hold")


def verdict(
    session: Session, keep_for: timedelta, holds: Sequence[LegalHold], now: datetime, part: Part = Part.SESSIONS
) -> Verdict:
    """Return what becomes of a session, or a part of it, that was started longer ago than it is to be kept."""
    if session.state is SessionState.ERASED:
        return Verdict(session.id, False, "erased", part)
    if session.ended_at is None:
        return Verdict(session.id, False, "not ended", part)
    if now < session.ended_at + keep_for:
        return Verdict(session.id, False, "ended too recently", part)
    if (hold := hold_on(session, holds)) is not None:
        return Verdict(session.id, False, f"legal hold on {hold.scope}", part)
    return Verdict(session.id, True, "due", part)
