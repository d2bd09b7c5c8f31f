"""An approval: what is to be decided, by whom and until when, and what was decided. Pure rules.

pending ──decide──► approved | rejected
   ├────expiry────► expired, or the next level, or longer
   └──the run has ended, or asks for something else──► withdrawn
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from kernel.errors import Conflict, Forbidden, InvalidInput
from lifecycle.specs.approvals import LINK, OnExpiry

Kind = Literal["tool", "hosted", "budget", "answer"]
"""What waits: `tool` a call of a tool, `hosted` one that the provider makes itself, `budget` a degradation step of the
agent (`ask`), `answer` a draft of an answer."""
Verb = Literal["approve", "reject", "amend"]

MAX_ARGUMENTS_BYTES = 65_536
"""Most bytes of arguments, as JSON, that a person can be asked about; a call with more is rejected."""
MAX_REASON = 2_000
_HOSTED = (
    "The provider makes this call itself and takes yes or no only: reject it, and say in the reason what to call it "
    "with instead; the model is told, and can ask for that."
)


class State(StrEnum):
    """Where an approval is."""

    PENDING = "pending"
    APPROVED = "approved"  # as asked, or with amended arguments
    REJECTED = "rejected"
    EXPIRED = "expired"  # nobody decided in time, which rejects
    WITHDRAWN = "withdrawn"  # there is nothing to decide any more


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """On what terms it is decided.

    Attributes:
        approvers: Who may decide, by level: `user:…`, `role:…`, `group:…` or `link`; none for anybody in the workspace.
        expires_s: Seconds that each level has.
        on_expiry: What then becomes of it. `escalate` goes to the next level, and rejects after the last.
        not_requester: Whether whoever asked the agent may not decide.
    """

    approvers: tuple[tuple[str, ...], ...] = ()
    expires_s: int = 86_400
    on_expiry: OnExpiry = "reject"
    not_requester: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be decided.

    Attributes:
        kind: See Kind.
        tool: The tool; empty for a budget, `answer` for an answer.
        call_id: The model's id of the call; of a budget, which of the run's waits it is; of an answer, which draft.
        arguments_hash: SHA-256 (hex) of the arguments, as canonical JSON.
        version: The agent's version that asks.
        why: What demands the approval, in words.
    """

    kind: Kind
    tool: str
    call_id: str
    arguments_hash: str
    version: str
    why: str


@dataclass(frozen=True, slots=True)
class RunRef:
    """Whose run waits.

    Attributes:
        workspace: Workspace of the run.
        agent: The agent.
        session_id: The run's session.
        run_id: The run.
        user_id: Who asked; empty when nobody in particular, or when that was erased.
    """

    workspace: str
    agent: str
    session_id: str
    run_id: str
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided.

    Attributes:
        decision: What.
        by: Who, as sign-in names them; `link` for whoever had the link, `rule:…` for a standing rule, empty unknown.
        reason: Why, in the decider's words; the model is told it where the call was rejected.
        at: When, aware UTC.
        arguments_hash: Of the arguments that the decision is about: those amended, where they were.
    """

    decision: Verb
    by: str
    reason: str
    at: datetime
    arguments_hash: str


@dataclass(frozen=True, slots=True)
class Execution:
    """What became of an approved call.

    Attributes:
        times: How often it was begun: more than once only where a worker died before it could note the result.
        started_at: When it was begun last.
        finished_at: When its result was noted; None while it was not.
    """

    times: int
    started_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """Something that waits for a person's decision, or did.

    Attributes:
        id: Unique in the workspace; the same call of the same run has the same.
        place: Whose run waits.
        subject: What is to be decided.
        terms: On what terms.
        requested_at: When it was asked for, aware UTC.
        due: When the present level's time is over; None for never.
        level: The level of approvers whose turn it is, from 0.
        state: See State.
        cost_micro_usd: What the run had cost by then.
        decision: What was decided; None while it is not, and where nobody did.
        closed_at: When it left `pending`; None before.
        execution: What became of the call; None before it was begun.
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
        """Whether it is yet to be decided."""
        return self.state is State.PENDING

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who may decide now; none for anybody in the workspace."""
        levels = self.terms.approvers
        return levels[min(self.level, len(levels) - 1)] if levels else ()

    @property
    def takes_links(self) -> bool:
        """Whether whoever has the link may decide."""
        return not self.terms.not_requester and (not self.approvers or LINK in self.approvers)


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides.

    Attributes:
        name: What records call them; empty when unknown.
        ids: Every id that sign-in vouches for.
        roles: Their roles, as sign-in vouches for them.
        groups: Their groups, likewise.
        link: Whether they have come by the link of a notification.
    """

    name: str = ""
    ids: frozenset[str] = field(default_factory=frozenset[str])
    roles: frozenset[str] = field(default_factory=frozenset[str])
    groups: frozenset[str] = field(default_factory=frozenset[str])
    link: bool = False

    @property
    def entries(self) -> frozenset[str]:
        """The entries of a list of approvers that name them."""
        known = {"user": self.ids, "role": self.roles, "group": self.groups}
        named = {f"{kind}:{value}" for kind, values in known.items() for value in values}
        return frozenset(named | ({LINK} if self.link else set()))


def canonical(arguments: Mapping[str, Any]) -> str:
    """Return the arguments as JSON, in ASCII, that is the same for the same arguments.

    Raises:
        ValueError: They are no JSON: one is NaN, or nested in itself.
    """
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(arguments: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of the arguments."""
    return hashlib.sha256(canonical(arguments).encode()).hexdigest()


def approval_id(run_id: str, subject: Subject) -> str:
    """Return the id of the approval of a call: the same for the same run, call, arguments and version."""
    said = f"{subject.kind}\n{subject.tool}\n{subject.call_id}\n{subject.arguments_hash}\n{subject.version}"
    return f"{run_id}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def requested(place: RunRef, subject: Subject, terms: ApprovalTerms, cost_micro_usd: int, now: datetime) -> Approval:
    """Return the approval that is asked for."""
    ident = approval_id(place.run_id, subject)
    return Approval(ident, place, subject, terms, now, _due(terms, now), cost_micro_usd=cost_micro_usd)


def check_may_decide(approval: Approval, person: Person) -> None:
    """Check that the person may decide.

    Raises:
        Forbidden: They may not.
    """
    if person.link and not approval.takes_links:
        raise Forbidden("This approval is not decided by a link; sign in.", code="approver_not_allowed")
    if approval.approvers and not person.entries & set(approval.approvers):
        msg = "You are not among those who may decide this."
        raise Forbidden(msg, code="approver_not_allowed")
    if approval.terms.not_requester:
        if not person.ids:
            msg = "Whoever asked the agent may not decide this, and sign-in does not say who you are."
            raise Forbidden(msg, code="approver_unknown")
        if approval.place.user_id in person.ids:
            raise Forbidden("Whoever asked the agent may not decide this.", code="approver_is_requester")


def may_decide(approval: Approval, person: Person) -> bool:
    """Return whether it is open and the person may decide it."""
    try:
        check_may_decide(approval, person)
    except Forbidden:
        return False
    return approval.open


def possible(approval: Approval) -> Sequence[Verb]:
    """Return what can be decided: a call that the provider makes is made with these arguments or not at all."""
    return ("approve", "reject") if approval.subject.kind in ("budget", "hosted") else ("approve", "reject", "amend")


def decided(
    approval: Approval, verb: Verb, person: Person, reason: str, amended: Mapping[str, Any] | None, now: datetime
) -> Approval:
    """Return the approval with the decision; the same decision again changes nothing.

    Args:
        approval: The approval.
        verb: What is decided.
        person: By whom.
        reason: Why.
        amended: The arguments to call the tool with instead, for `amend` and nothing else.
        now: The time.

    Raises:
        Forbidden: The person may not decide.
        InvalidInput: The arguments do not fit what is decided.
        Conflict: It is decided otherwise, or there is nothing to decide any more.
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
    """Return why an approval that is not pending cannot be decided."""
    match approval.state:
        case State.EXPIRED:
            return Conflict("The time to decide is over.", code="approval_expired")
        case State.WITHDRAWN:
            msg = "There is nothing to decide any more: the run has ended, or goes on otherwise."
            return Conflict(msg, code="approval_withdrawn")
        case _:
            return Conflict(f"It is {approval.state.value} already.", code="approval_decided")


def overdue(approval: Approval, now: datetime) -> bool:
    """Return whether the present level's time is over."""
    return approval.open and approval.due is not None and approval.due <= now


def after_deadline(approval: Approval, now: datetime) -> Approval:
    """Return an overdue approval as its terms leave it: expired, at the next level, or with more time."""
    terms = approval.terms
    if terms.on_expiry == "keep":
        return replace(approval, due=None)
    if terms.on_expiry == "escalate" and approval.level + 1 < len(terms.approvers):
        return replace(approval, level=approval.level + 1, due=_due(terms, now))
    return replace(approval, state=State.EXPIRED, closed_at=now)


def withdrawn(approval: Approval, now: datetime) -> Approval:
    """Return the approval, with nothing to decide any more."""
    return replace(approval, state=State.WITHDRAWN, closed_at=now)


def begun(approval: Approval, now: datetime) -> Approval:
    """Return the approval whose call is about to be made."""
    times = approval.execution.times if approval.execution else 0
    return replace(approval, execution=Execution(times + 1, now))


def finished(approval: Approval, now: datetime) -> Approval:
    """Return the approval whose call was made and has a result."""
    execution = approval.execution or Execution(1, now)
    return replace(approval, execution=replace(execution, finished_at=now))


def rejection(approval: Approval) -> str:
    """Return what the model is told of a call that was not approved."""
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
