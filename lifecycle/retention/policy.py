"""Retention policies and legal holds. Pure rules and values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kernel.errors import InvalidInput
from kernel.ids import agent_name, session_id, user_id
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.session import Session, SessionState

_YEAR_S = 366 * 86_400
HoldKind = Literal["workspace", "agent", "user", "session"]


class Part(StrEnum):
    """A kind of data with its own retention time."""

    SESSIONS = "sessions"
    TRANSCRIPTS = "transcripts"
    RUNS = "runs"
    TOOL_CALLS = "tool_calls"
    EVALUATIONS = "evaluations"
    FACTS = "facts"


OF_SESSIONS = (Part.TRANSCRIPTS, Part.RUNS, Part.TOOL_CALLS, Part.EVALUATIONS)
"""Parts that are deleted from sessions, which stay."""
OF_DAYS = (Part.TOOL_CALLS, Part.EVALUATIONS, Part.FACTS)
"""Parts that are deleted from the facts of whole days."""


class DataRetentionPolicy(BaseModel):
    """How long a workspace keeps its data, in seconds; null keeps it until it is erased by a call.

    For sessions the time starts with their end, for facts with their attempt's end; facts are deleted by whole days
    (UTC).

    Attributes:
        sessions_s: Seconds after which a session is erased with everything in it.
        transcripts_s: Seconds after which a session's messages and events, the texts of its runs (query, context,
            answer) and its conversation at the provider are deleted; its runs stay with their numbers.
        runs_s: Seconds after which a session's runs are deleted; the session stays with its counters.
        tool_calls_s: Seconds after which tool calls with their arguments are deleted, in runs and facts.
        evaluations_s: Seconds after which scores and their reasons are deleted, in runs and facts.
        facts_s: Seconds after which facts of attempts (model calls, tool calls, scores with their reasons) are deleted;
            sums of facts, from which costs, performance and reports are made, stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    sessions_s: int | None = Field(default=None, ge=3600, le=100 * _YEAR_S)
    transcripts_s: int | None = Field(default=None, ge=3600, le=100 * _YEAR_S)
    runs_s: int | None = Field(default=None, ge=3600, le=100 * _YEAR_S)
    tool_calls_s: int | None = Field(default=None, ge=7 * 86_400, le=100 * _YEAR_S)
    evaluations_s: int | None = Field(default=None, ge=7 * 86_400, le=100 * _YEAR_S)
    facts_s: int | None = Field(default=None, ge=30 * 86_400, le=100 * _YEAR_S)

    def keeps(self, part: Part) -> timedelta | None:
        """Return how long the part is kept; None for no limit."""
        seconds: int | None = getattr(self, f"{part}_s")
        return None if seconds is None else timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class HoldScope:
    """Scope of a legal hold: the workspace, all sessions of an agent or a user, or one session."""

    kind: HoldKind
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}" if self.subject else self.kind

    def covers(self, session: Session) -> bool:
        """Return whether a hold of this scope keeps the session from being erased."""
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
    """A legal hold: nothing in its scope is erased until it is released.

    Attributes:
        scope: Its scope.
        reason: The reason given, e.g. a case number.
        since: When it was placed, aware UTC.
        by: Who placed it, by sign-in; empty if unknown.
    """

    scope: HoldScope
    reason: str
    since: datetime
    by: str | None = None


def parse_hold_scope(text: str) -> HoldScope:
    """Return the scope written as text, like `user:ada`.

    Raises:
        InvalidInput: It is not valid.
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
    """Return a hold that keeps the session; None if there is none."""
    return next((hold for hold in holds if hold.scope.covers(session)), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about a session, or a part of it.

    Attributes:
        session_id: The session's id.
        erase: Whether it is erased.
        reason: Why it is erased or kept.
        part: The part of it; None for the whole session.
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
    """Return the decision about a session, or a part of it, that started longer ago than `keep_for`."""
    if session.state is SessionState.ERASED:
        return Verdict(session.id, False, "erased", part)
    if session.ended_at is None:
        return Verdict(session.id, False, "not ended", part)
    if now < session.ended_at + keep_for:
        return Verdict(session.id, False, "ended too recently", part)
    if (hold := hold_on(session, holds)) is not None:
        return Verdict(session.id, False, f"legal hold on {hold.scope}", part)
    return Verdict(session.id, True, "due", part)
