"""Request and response models of approvals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from lifecycle.approvals.approval import MAX_REASON, Person, State, Verb, may_decide, possible
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.approvals.policy import StandingRule
from lifecycle.approvals.store import Record
from triggers.http.base_models import Body, Page, View


class DecisionBody(Body):
    """A decision: `approve`, `reject`, or `amend` with the arguments to call the tool with instead.

    The model sees the reason of a rejection. `always`, only with `approve`, allows later calls without a decision until
    the agent's version changes: `call` those with the same arguments, `tool` those with any.
    """

    decision: Literal["approve", "reject", "amend"]
    reason: str = Field(default="", max_length=MAX_REASON)
    arguments: Mapping[str, Any] | None = None
    always: Literal["call", "tool"] | None = None

    def ruling(self) -> DecisionRequest:
        """Return the decision."""
        return DecisionRequest(self.decision, self.reason, self.arguments, self.always)


class DecisionView(View):
    """The decision, by whom and why; the hash is that of the arguments it is about."""

    decision: str
    by: str
    reason: str
    at: datetime
    arguments_hash: str


class ExecutionView(View):
    """The execution of an approved call. `times` is more than 1 where a worker died before it recorded the result."""

    times: int
    started_at: datetime
    finished_at: datetime | None


class ApprovalView(View):
    """A pending or past approval.

    `arguments` are those to call the tool with, `asked_arguments` those that the model asked for where they were
    amended; both are null once the session is erased. `approvers` may decide now; none are named for anybody in the
    workspace. `may_decide` says whether the caller may, and `decisions` what there is to decide: a call that the
    provider makes itself (kind `hosted`) cannot be amended.
    """

    id: str
    state: State
    kind: str
    agent: str
    version: str
    tool: str
    call_id: str
    arguments: Mapping[str, Any] | None
    asked_arguments: Mapping[str, Any] | None
    arguments_hash: str
    why: str
    session_id: str
    run_id: str
    user_id: str | None
    excerpt: str
    cost_micro_usd: int
    approvers: Sequence[str]
    may_decide: bool
    decisions: Sequence[Verb]
    level: int
    not_requester: bool
    on_expiry: str
    requested_at: datetime
    expires_at: datetime | None
    closed_at: datetime | None
    decision: DecisionView | None
    execution: ExecutionView | None

    @classmethod
    def of_record(cls, record: Record, person: Person) -> Self:
        """Return the view of a stored approval for a person."""
        approval = record.approval
        return cls.of(
            approval,
            approval.subject,
            approval.place,
            approval.terms,
            arguments=json.loads(record.arguments) if record.arguments else None,
            asked_arguments=json.loads(record.asked) if record.asked else None,
            user_id=approval.place.user_id or None,
            excerpt=record.excerpt,
            expires_at=approval.due,
            approvers=approval.approvers,
            may_decide=may_decide(approval, person),
            decisions=possible(approval),
        )


class ApprovalPage(Page[ApprovalView]):
    """Approvals, those of the oldest runs first."""


class StandingView(View):
    """A call that needs no approval while the agent has this version; an empty hash stands for any arguments."""

    id: str
    agent: str
    version: str
    tool: str
    arguments_hash: str
    by: str
    approval_id: str
    at: datetime

    @classmethod
    def of_standing(cls, standing: StandingRule) -> Self:
        """Return the view of a standing rule."""
        return cls.of(standing, id=standing.digest)


class StandingPage(Page[StandingView]):
    """Standing rules by agent; at most a thousand."""
