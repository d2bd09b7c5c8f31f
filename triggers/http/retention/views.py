"""What the API answers of retention, legal holds and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from lifecycle.retention.policy import LegalHold, Part
from triggers.http.base_models import Body, Page, View


class RetentionVerdictView(View):
    """The policy's decision on a session, or on a part of it with a period of its own, and the reason."""

    part: Part
    session_id: str
    erase: bool
    reason: str


class RetentionReceiptView(View):
    """What one round deleted; `complete` is false where the next round continues."""

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
    """What the policy would delete (at most 1,000 sessions are listed), or what it deleted.

    `days` are those whose facts would be deleted, by part.
    """

    dry_run: bool
    sessions: Sequence[RetentionVerdictView] = ()
    days: Mapping[Part, Sequence[date]] = Field(default_factory=dict[Part, Sequence[date]])
    receipt: RetentionReceiptView | None = None


class RetentionReceiptPage(Page[RetentionReceiptView]):
    """Receipts, newest first."""


class HoldBody(Body):
    """The reason of a hold."""

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
    """One resource of the workspace, in the format of its own endpoint; of a session, its export."""

    kind: ExportKind
    data: Any = Field(
        description="The response of GET on the resource itself; for a session, of GET sessions/{id}/export."
    )


class ExportPage(Page[ExportItemView]):
    """Resources of the workspace, or of a user, by kind; `next` leads through all of them."""
