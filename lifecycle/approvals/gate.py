"""Decides about every tool call of a run, before it is made, whether it needs an approval."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from kernel.errors import AppError, RunFailed, Unavailable
from kernel.lazy_dataclass import dataclass
from lifecycle.approvals.approval import (
    MAX_ARGUMENTS_BYTES,
    ApprovalTerms,
    RunRef,
    State,
    Subject,
    approval_id,
    begun,
    canonical,
    digest,
    finished,
    rejection,
    requested,
    too_late,
)
from lifecycle.approvals.policy import PolicyStore, need, rules_for
from lifecycle.approvals.store import ApprovalStore, Record, cut
from lifecycle.conversations.run import APPROVAL_NEEDED, Run
from lifecycle.specs.approvals import ApprovalRule, unasked, unasked_because
from lifecycle.tools.definition import Approval

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.specs.hosted_tools import Mcp

log = logging.getLogger(__name__)

ANSWER: Final = "answer"
"""The kind, the tool name and the name of the one argument under which a draft of an answer is stored."""
_EXCERPT = 500
_CHANGES_BEFORE_GIVING_UP = 10


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call that a model asks for.

    Attributes:
        tool: The tool's name, as the model knows it.
        call_id: The model's id of the call, unique in the run.
        arguments: Its arguments, as JSON has them.
        approval: When a call of the tool needs an approval, as the tool itself states.
        version: The agent's version that asks for it.
        hosted: Whether the provider makes the call itself, once it is approved.
    """

    tool: str
    call_id: str
    arguments: Mapping[str, Any]
    approval: Approval
    version: str = ""
    hosted: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call may be made.

    Attributes:
        arguments: The arguments to call with; amended ones where a person changed them.
        approval_id: The approval that allows it; empty where it needs none.
    """

    arguments: Mapping[str, Any]
    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The call, and its run with it, waits for a decision."""

    approval_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call is not made; the model is given the reason as the call's result."""

    reason: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What is stored of an approved call that is about to be made.

    Attributes:
        result: The result, if the call was made before; else None.
        repeated: Whether an earlier attempt began the call and stored no result.
    """

    result: str | None = None
    repeated: bool = False


Gate = Callable[[Run, RequestedCall], Awaitable[Allowed | Pending | Rejected]]
"""Decides whether a call of a run may be made."""


async def no_approvals(run: Run, call: RequestedCall) -> Allowed:
    """Allow every call that needs no approval; for apps without an approval store.

    Raises:
        RunFailed: The call needs an approval (code `approval_unavailable`).
    """
    if call.approval == "never":
        return Allowed(call.arguments)
    msg = f"The tool {call.tool!r} needs an approval, which this app cannot ask for."
    raise RunFailed(msg, code="approval_unavailable")


class ApprovalPending(AppError):
    """The run waits for a person's decision; its approvals say about what.

    Attributes:
        records: The approvals that are to be decided.
    """

    code = APPROVAL_NEEDED

    def __init__(self, records: Sequence[Record]) -> None:
        """Set the approvals that are to be decided."""
        super().__init__()
        self.records = records


class ApprovalGate:
    """Finds out which calls of a run need an approval, and stores the progress of approved calls."""

    def __init__(self, approvals: ApprovalStore, policies: PolicyStore, clock: Clock) -> None:
        self._approvals = approvals
        self._policies = policies
        self._clock = clock

    async def judge(
        self, run: Run, call: RequestedCall, rules: Sequence[ApprovalRule], *, held: bool = False
    ) -> Allowed | Rejected | Record:
        """Decide about a call; returns a record where a person has to decide, already stored if it has an ETag.

        Args:
            run: The run.
            call: The call.
            rules: The approval rules of the agent's spec.
            held: Whether an earlier attempt asked for this call: its decision then holds, even if the rules have
                changed.
        """
        if held and (decided := await self._stored_record(run, call)) is not None:
            return _verdict(decided)
        policy = await self._policies.of(run.workspace)
        needed = need(run.agent, call.tool, call.arguments, policy, rules, call.approval)
        if needed is None:
            return Allowed(call.arguments)
        try:
            arguments = canonical(call.arguments)
        except (ValueError, TypeError, RecursionError):
            return Rejected("its arguments are not JSON")
        if len(arguments) > MAX_ARGUMENTS_BYTES:
            msg = f"it needs an approval, and a person cannot review {len(arguments)} bytes of arguments; "
            return Rejected(f"{msg}at most {MAX_ARGUMENTS_BYTES} are possible")
        found = await self._stored_record(run, call)
        if found is not None:
            return _verdict(found)
        subject = _subject(call, needed.why)
        if needed.waivable and await self._is_waived(run, subject):
            return Allowed(call.arguments)
        asked = requested(place_of(run), subject, needed.terms, run.spend.cost_micro_usd, self._clock())
        return Record(asked, arguments, excerpt=excerpt_of(run))

    async def check_asked(self, run: Run, servers: Sequence[Mcp]) -> None:
        """Check that the provider asks for approval before it calls tools that the workspace's policy names.

        Args:
            run: The run.
            servers: The MCP servers whose tools the provider calls itself.

        Raises:
            RunFailed: It does not ask (code `approval_not_asked`).
        """
        if all(server.asks for server in servers):
            return
        policy = await self._policies.of(run.workspace)
        server = unasked(rules_for(policy, run.agent), servers)
        if server is not None:
            msg = f"The workspace's policy cannot be enforced: {unasked_because(server)}."
            raise RunFailed(msg, code="approval_not_asked")

    async def drafts(self, run: Run) -> Sequence[Record]:
        """Return the drafts of the run's answer for which approvals were requested, in order."""
        found = [
            each for each in await self._approvals.of_run(run.workspace, run.id) if each.approval.subject.kind == ANSWER
        ]
        return sorted(found, key=lambda each: (each.approval.requested_at, each.approval.subject.call_id))

    def draft(self, run: Run, version: str, text: str, approvers: Sequence[str]) -> ApprovalPending:
        """Return the exception that has a run wait until a draft of its answer is approved.

        Without `approvers`, anybody in the workspace may decide.
        """
        arguments = {ANSWER: text}
        if len(canonical(arguments)) > MAX_ARGUMENTS_BYTES:
            msg = f"The answer needs an approval, and a person cannot review more than {MAX_ARGUMENTS_BYTES} bytes."
            raise RunFailed(msg, code="draft_too_long")
        subject = Subject(ANSWER, ANSWER, f"answer-{run.attempt}", digest(arguments), version, "the team")
        terms = ApprovalTerms((tuple(approvers),) if approvers else ())
        asked = requested(place_of(run), subject, terms, run.spend.cost_micro_usd, self._clock())
        return ApprovalPending([Record(asked, canonical(arguments), excerpt=excerpt_of(run))])

    async def begin(self, workspace: str, approval_id: str) -> Begun:
        """Store that an approved call is about to be made. The caller must not make it if a result is returned.

        Raises:
            Conflict: It is no longer approved.
            NotFound: The approval does not exist any more.
            Unavailable: It cannot be stored; the call must not be made.
        """
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            record = await self._approvals.get(workspace, approval_id)
            if record.result is not None:
                return Begun(record.result)
            if record.approval.state is not State.APPROVED:
                raise too_late(record.approval)
            if await self._approvals.save(record, replace(record, approval=begun(record.approval, self._clock()))):
                return Begun(repeated=record.approval.execution is not None)
        msg = "The approval is being changed by too many callers at once."
        raise Unavailable(msg, code="approval_busy")

    async def finish(self, workspace: str, approval_id: str, result: str) -> None:
        """Store what an approved call returned, for later attempts.

        If it cannot be stored, a later attempt makes the call again, with the same idempotency key.
        """
        try:
            for _ in range(_CHANGES_BEFORE_GIVING_UP):
                record = await self._approvals.get(workspace, approval_id)
                after = replace(record, approval=finished(record.approval, self._clock()), result=cut(result))
                erased = not record.arguments
                if erased or record.result is not None or await self._approvals.save(record, after):
                    return
        except AppError as error:
            log.warning("result not stored: %s", error.code, extra={"event": "approval.result_not_noted"})

    async def _stored_record(self, run: Run, call: RequestedCall) -> Record | None:
        try:
            ident = approval_id(run.id, _subject(call))
        except (ValueError, TypeError, RecursionError):
            return None
        return await self._approvals.find(run.workspace, ident)

    async def _is_waived(self, run: Run, subject: Subject) -> bool:
        found = await self._policies.standing(
            run.workspace, run.agent, subject.version, subject.tool, subject.arguments_hash
        )
        if found is None:
            return False
        log.info(
            "run %s: a standing rule of approval %s allows %s",
            run.id,
            found.approval_id,
            subject.tool,
            extra={"event": "approval.waived"},
        )
        return True


def place_of(run: Run) -> RunRef:
    """Return the workspace, agent, session, run and user of a run."""
    return RunRef(run.workspace, run.agent, run.session_id, run.id, run.user_id or "")


def excerpt_of(run: Run) -> str:
    """Return the beginning of the user's query, as an approval shows it."""
    return run.query if len(run.query) <= _EXCERPT else run.query[: _EXCERPT - 1] + "…"


def _subject(call: RequestedCall, why: str = "") -> Subject:
    return Subject(
        "hosted" if call.hosted else "tool", call.tool, call.call_id, digest(call.arguments), call.version, why
    )


def _verdict(record: Record) -> Allowed | Rejected | Record:
    approval = record.approval
    match approval.state:
        case State.APPROVED:
            return Allowed(json.loads(record.arguments or "{}"), approval.id)
        case State.PENDING:
            return record
        case _:
            return Rejected(rejection(approval))
