"""What the API answers of retention, legal holds and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from lifecycle.retention.policy import LegalHold, Part
from triggers.http.views import Body, Page, View


class RetentionVerdictView(View):
    """What becomes of a session, or of the part of it that has a time of its own, and why."""

    part: Part
    session_id: str
    erase: bool
    reason: str


class RetentionReceiptView(View):
    """What one round deleted; `complete` is false where the next one goes on."""

    id: str
    at: datetime
    sessions: int
    runs: int
    messages: int
    transcripts: int
    tool_calls: int
    evaluations: int
    facts: int
    held: int
    complete: bool


class RetentionView(View):
    """What the policy would delete (at most 1,000 sessions are shown), or what it deleted.

    `days` are those of whose facts a part would be deleted.
    """

    dry_run: bool
    sessions: Sequence[RetentionVerdictView] = ()
    days: Mapping[Part, Sequence[date]] = Field(default_factory=dict[Part, Sequence[date]])
    receipt: RetentionReceiptView | None = None


class RetentionReceiptPage(Page[RetentionReceiptView]):
    """Receipts, newest first."""


class HoldBody(Body):
    """Why a hold is placed."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class HoldView(View):
    """A legal hold."""

    scope: str
    reason: str
    since: datetime
    by: str | None

    @classmethod
    def of_hold(cls, hold: LegalHold) -> HoldView:
        """Return the view of a hold."""
        return cls(scope=str(hold.scope), reason=hold.reason, since=hold.since, by=hold.by)


class HoldPage(Page[HoldView]):
    """Legal holds by scope."""


ExportKind = Literal[
    "agent",
    "template",
    "personality",
    "capability",
    "overrides",
    "workflow",
    "team",
    "pool",
    "route",
    "schedule",
    "batch",
    "budget",
    "price",
    "alert",
    "channel",
    "approval_policy",
    "approval_rule",
    "approval",
    "report",
    "retention_receipt",
    "retention_policy",
    "hold",
    "session",
    "preferences",
    "run",
]


class ExportItemView(View):
    """One thing of the workspace, as its own endpoint answers it; of a session, its export."""

    kind: ExportKind
    data: Any = Field(description="As GET on the thing itself, and for a session GET sessions/{id}/export, answers.")


class ExportPage(Page[ExportItemView]):
    """Things of the workspace, or of a user, by kind; `next` leads on until all were given."""
