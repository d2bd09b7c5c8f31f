"""The approval: what is to be decided, by whom and until when, and the decision. Pure rules.

pending ──decide──► approved | rejected
   ├────expiry────► expired, or the next level, or longer
   └──the run has ended, or asks for something else──► withdrawn
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from kernel.errors import Conflict, Forbidden, InvalidInput
from kernel.lazy_dataclass import dataclass
from lifecycle.specs.approvals import LINK, OnExpiry

Kind = Literal["tool", "hosted", "budget", "answer", "escalation"]
"""What waits: `tool` a tool call, `hosted` a tool call that the provider makes itself, `budget` a degradation step of
the agent (`ask`), `answer` a draft of an answer, `escalation` a handoff by a team's escalation path."""
Verb = Literal["approve", "reject", "amend"]

MAX_ARGUMENTS_BYTES = 65_536
"""Largest arguments that a person can be asked about, in bytes of JSON; a call with more is rejected."""
MAX_REASON = 2_000
_HOSTED = (
    "The provider makes this call itself and takes yes or no only: reject it, and say in the reason what to call it "
    "with instead; the model is told, and can ask for that."
)


class State(StrEnum):
    """State of an approval."""

    PENDING = "pending"
    APPROVED = "approved"  # as asked, or with amended arguments
    REJECTED = "rejected"
    EXPIRED = "expired"  # not decided in time; counts as rejected
    WITHDRAWN = "withdrawn"  # its run no longer waits for it


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """Who may decide an approval, and within which time.

    Attributes:
        approvers: Who may decide, by level: `user:…`, `role:…`, `group:…` or `link`; an empty level allows anybody in
            the workspace.
        expires_s: Seconds until each level expires.
        on_expiry: What happens then. `escalate` goes to the next level, and rejects after the last.
        not_requester: Whether the user who asked the agent may not decide.
    """

    approvers: tuple[tuple[str, ...], ...] = ()
    expires_s: int = 86_400
    on_expiry: OnExpiry = "reject"
    not_requester: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """The call, budget step or answer that is to be decided.

    Attributes:
        kind: See `Kind`.
        tool: The tool; empty for a budget and an escalation, `answer` for an answer.
        call_id: The model's id of the call; for a budget, the number of the run's wait; for an answer, the number of
            the draft; for an escalation, its level.
        arguments_hash: SHA-256 (hex) of the arguments, as canonical JSON.
        version: The agent's version that makes the call.
        why: What demands the approval, for people to read.
    """

    kind: Kind
    tool: str
    call_id: str
    arguments_hash: str
    version: str
    why: str


@dataclass(frozen=True, slots=True)
class RunRef:
    """The run that waits, and whose it is.

    Attributes:
        workspace: Workspace of the run.
        agent: The agent.
        session_id: The run's session.
        run_id: The run.
        user_id: The user who asked; empty if unknown or erased.
    """

    workspace: str
    agent: str
    session_id: str
    run_id: str
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about an approval.

    Attributes:
        decision: The decision.
        by: Who decided, as sign-in names them; `link` for the holder of a link, `rule:…` for a standing rule, empty if
            unknown.
        reason: The decider's reason; given to the model if the call was rejected.
        at: When, aware UTC.
        arguments_hash: Hash of the arguments that were decided on; if amended, of the amended ones.
    """

    decision: Verb
    by: str
    reason: str
    at: datetime
    arguments_hash: str


@dataclass(frozen=True, slots=True)
class Execution:
    """How often and when an approved call was made.

    Attributes:
        times: How often it was begun; more than once only if a worker died before it stored the result.
        started_at: When it was last begun, aware UTC.
        finished_at: When its result was stored; None before.
    """

    times: int
    started_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """Something that waits, or waited, for a person's decision.

    Attributes:
        id: Unique in the workspace, and the same each time that a run asks for the same call.
        place: The run that waits.
        subject: What is to be decided.
        terms: Who may decide it and until when.
        requested_at: When it was asked for, aware UTC.
        due: When the present level expires; None for never.
        level: The present level of approvers, from 0.
        state: See `State`.
        cost_micro_usd: What the run had cost when it asked, in millionths of a USD.
        decision: The decision; None before it, and where nobody decided.
        closed_at: When it left the state `pending`; None before.
        execution: When the call was made; None before it was begun.
    """

    id: str
    place: RunRef
    subject: Subject
    terms: ApprovalTerms
    requested_at: datetime
    due: datetime | None
    level: int = 0
    state: State = State.PENDING
    cost_micro_usd: int = 0
    decision: Decision | None = None
    closed_at: datetime | None = None
    execution: Execution | None = None

    @property
    def open(self) -> bool:
        """Whether it is pending."""
        return self.state is State.PENDING

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who may decide at the present level; empty if anybody in the workspace may."""
        levels = self.terms.approvers
        return levels[min(self.level, len(levels) - 1)] if levels else ()

    @property
    def takes_links(self) -> bool:
        """Whether the holder of a link may decide at the present level."""
        return not self.terms.not_requester and (not self.approvers or LINK in self.approvers)


@dataclass(frozen=True, slots=True)
class Person:
    """A person who decides, as authenticated.

    Attributes:
        name: Their name in records; empty when unknown.
        ids: Every id that sign-in gives for them.
        roles: Their roles, by sign-in.
        groups: Their groups, by sign-in.
        link: Whether they hold the link of a notification.
    """

    name: str = ""
    ids: frozenset[str] = field(default_factory=frozenset[str])
    roles: frozenset[str] = field(default_factory=frozenset[str])
    groups: frozenset[str] = field(default_factory=frozenset[str])
    link: bool = False

    @property
    def entries(self) -> frozenset[str]:
        """The entries by which a list of approvers can name them."""
        by_prefix = {"user": self.ids, "role": self.roles, "group": self.groups}
        named = {f"{kind}:{value}" for kind, values in by_prefix.items() for value in values}
        return frozenset(named | ({LINK} if self.link else set()))


def canonical(arguments: Mapping[str, Any]) -> str:
    """Return the arguments as canonical JSON in ASCII: equal arguments give equal text.

    Raises:
        ValueError: They are not JSON: a number is NaN, or a value contains itself.
    """
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(arguments: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of the arguments' canonical JSON."""
    return hashlib.sha256(canonical(arguments).encode()).hexdigest()


def approval_id(run_id: str, subject: Subject) -> str:
    """Return the id of the approval of a call: the same for the same run, call, arguments and version."""
    identity = f"{subject.kind}\n{subject.tool}\n{subject.call_id}\n{subject.arguments_hash}\n{subject.version}"
    return f"{run_id}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def requested(place: RunRef, subject: Subject, terms: ApprovalTerms, cost_micro_usd: int, now: datetime) -> Approval:
    """Return a new pending approval."""
    ident = approval_id(place.run_id, subject)
    return Approval(ident, place, subject, terms, now, _due(terms, now), cost_micro_usd=cost_micro_usd)


def check_may_decide(approval: Approval, person: Person) -> None:
    """Check that the person may decide.

    Raises:
        Forbidden: They may not (codes `approver_not_allowed`, `approver_unknown`, `approver_is_requester`).
    """
    if person.link and not approval.takes_links:
        raise Forbidden("This approval is not decided by a link; sign in.", code="approver_not_allowed")
    if approval.approvers and not person.entries & set(approval.approvers):
        msg = "You are not among those who may decide this."
        raise Forbidden(msg, code="approver_not_allowed")
    if approval.terms.not_requester:
        if not person.ids:
            msg = "Whoever asked the agent may not decide this, and sign-in does not tell who you are."
            raise Forbidden(msg, code="approver_unknown")
        if approval.place.user_id in person.ids:
            raise Forbidden("Whoever asked the agent may not decide this.", code="approver_is_requester")


def may_decide(approval: Approval, person: Person) -> bool:
    """Return whether the approval is pending and the person may decide it."""
    try:
        check_may_decide(approval, person)
    except Forbidden:
        return False
    return approval.open


def possible(approval: Approval) -> Sequence[Verb]:
    """Return what can be decided: a call that the provider makes is made with these arguments or not at all."""
    return (
        ("approve", "reject")
        if approval.subject.kind in ("budget", "hosted", "escalation")
        else ("approve", "reject", "amend")
    )


def decided(
    approval: Approval, verb: Verb, person: Person, reason: str, amended: Mapping[str, Any] | None, now: datetime
) -> Approval:
    """Return the approval with the decision; unchanged if the same decision was made before.

    Args:
        approval: The approval.
        verb: The decision.
        person: Who decides.
        reason: Their reason.
        amended: With `amend`, the arguments to call the tool with instead; else None.
        now: The time.

    Raises:
        Forbidden: The person may not decide.
        InvalidInput: The arguments do not fit the decision.
        Conflict: It was decided differently, has expired, or was withdrawn.
    """
    check_may_decide(approval, person)
    _check_amended(approval, verb, amended)
    hashed = digest(amended) if amended is not None else approval.subject.arguments_hash
    before = approval.decision
    if before is not None and (before.decision, before.arguments_hash) == (verb, hashed):
        return approval
    if not approval.open:
        raise too_late(approval)
    if overdue(approval, now) and after_deadline(approval, now).state is State.EXPIRED:
        raise Conflict("The time to decide is over.", code="approval_expired")
    state = State.REJECTED if verb == "reject" else State.APPROVED
    decision = Decision(verb, person.name or (LINK if person.link else ""), reason, now, hashed)
    return replace(approval, state=state, decision=decision, closed_at=now)


def too_late(approval: Approval) -> Conflict:
    """Return the error for an approval that is no longer pending."""
    match approval.state:
        case State.EXPIRED:
            return Conflict("The time to decide is over.", code="approval_expired")
        case State.WITHDRAWN:
            msg = "The run no longer waits for this: it has ended, or continued without it."
            return Conflict(msg, code="approval_withdrawn")
        case _:
            return Conflict(f"It is {approval.state.value} already.", code="approval_decided")


def overdue(approval: Approval, now: datetime) -> bool:
    """Return whether the present level has expired."""
    return approval.open and approval.due is not None and approval.due <= now


def after_deadline(approval: Approval, now: datetime) -> Approval:
    """Return an overdue approval after applying `on_expiry`: expired, at the next level, or with more time."""
    terms = approval.terms
    if terms.on_expiry == "keep":
        return replace(approval, due=None)
    if terms.on_expiry == "escalate" and approval.level + 1 < len(terms.approvers):
        return replace(approval, level=approval.level + 1, due=_due(terms, now))
    return replace(approval, state=State.EXPIRED, closed_at=now)


def withdrawn(approval: Approval, now: datetime) -> Approval:
    """Return the approval as withdrawn."""
    return replace(approval, state=State.WITHDRAWN, closed_at=now)


def begun(approval: Approval, now: datetime) -> Approval:
    """Return the approval with its call begun once more."""
    times = approval.execution.times if approval.execution else 0
    return replace(approval, execution=Execution(times + 1, now))


def finished(approval: Approval, now: datetime) -> Approval:
    """Return the approval with its call finished."""
    execution = approval.execution or Execution(1, now)
    return replace(approval, execution=replace(execution, finished_at=now))


def rejection(approval: Approval) -> str:
    """Return the text that the model is given for a call that was not approved."""
    if approval.state is State.EXPIRED:
        return "nobody approved it in time"
    reason = approval.decision.reason if approval.decision else ""
    return f"it was rejected: {reason}" if reason else "it was rejected"


def _check_amended(approval: Approval, verb: Verb, amended: Mapping[str, Any] | None) -> None:
    if verb not in possible(approval):
        if approval.subject.kind == "hosted":
            raise InvalidInput(_HOSTED, code="not_amendable", fields={"/decision": _HOSTED})
        msg = "There is nothing to amend: it is about going on or not."
        raise InvalidInput(msg, code="nothing_to_amend", fields={"/decision": msg})
    if (verb == "amend") != (amended is not None):
        msg = "'amend' takes the arguments to use instead, and nothing else does."
        raise InvalidInput(msg, code="invalid_arguments", fields={"/arguments": msg})
    answer = amended.get("answer") if amended is not None and approval.subject.kind == "answer" else "-"
    if not isinstance(answer, str) or not answer.strip():
        msg = "An answer is amended with the text to give instead, as 'answer'."
        raise InvalidInput(msg, code="invalid_arguments", fields={"/arguments": msg})
    if amended is not None and len(canonical(amended)) > MAX_ARGUMENTS_BYTES:
        msg = f"Arguments have at most {MAX_ARGUMENTS_BYTES} bytes of JSON."
        raise InvalidInput(msg, code="arguments_too_large", fields={"/arguments": msg})


def _due(terms: ApprovalTerms, now: datetime) -> datetime:
    return now + timedelta(seconds=terms.expires_s)
