"""The gate that every tool call of a run passes before it is made."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kernel.clock import Clock
from kernel.errors import AppError, RunFailed, Unavailable
from lifecycle.approvals.model import (
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
from lifecycle.specs.hosted_tools import Mcp
from lifecycle.tools.definition import Approval

log = logging.getLogger(__name__)

ANSWER: Final = "answer"
"""What a draft is kept as: its kind, its tool, and the name of its one argument."""
_EXCERPT = 500
_CHANGES_BEFORE_GIVING_UP = 10


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call that a model asks for.

    Attributes:
        tool: The tool's name, as the model knows it.
        call_id: The model's id of the call, unique in the run.
        arguments: Its arguments, as JSON has them.
        approval: When a call of the tool needs an approval.
        version: The agent's version that asks for it.
        hosted: Whether the provider makes the call itself, once it is told that it may.
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
        arguments: With these.
        approval_id: The approval that allows it; empty where it needs none.
    """

    arguments: Mapping[str, Any]
    approval_id: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The call waits for a decision, and the run with it."""

    approval_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call is not made; the model is given the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of an approved call that is about to be made.

    Attributes:
        result: What it returned where it was made before; else None.
        repeated: Whether it was begun before, by somebody who could not note a result.
    """

    result: str | None = None
    repeated: bool = False


Gate = Callable[[Run, RequestedCall], Awaitable[Allowed | Pending | Rejected]]
"""Decides whether a call of a run is made."""


async def no_approvals(run: Run, call: RequestedCall) -> Allowed:
    """Allow every call that needs no approval.

    Raises:
        RunFailed: It needs one, which nobody can give here (code `approval_unavailable`).
    """
    if call.approval == "never":
        return Allowed(call.arguments)
    msg = f"The tool {call.tool!r} needs an approval, and this app has nobody who could give it."
    raise RunFailed(msg, code="approval_unavailable")


class ApprovalPending(AppError):
    """Tool calls of the run wait for a decision."""

    code = APPROVAL_NEEDED

    def __init__(self, records: Sequence[Record]) -> None:
        """Set what is to be decided."""
        super().__init__()
        self.records = records


class ApprovalGate:
    """Finds out which calls of a run wait, and notes what becomes of those that were approved."""

    def __init__(self, approvals: ApprovalStore, policies: PolicyStore, clock: Clock) -> None:
        self._approvals = approvals
        self._policies = policies
        self._clock = clock

    async def judge(
        self, run: Run, call: RequestedCall, rules: Sequence[ApprovalRule], *, held: bool = False
    ) -> Allowed | Rejected | Record:
        """Return whether the call may be made; a record where that is to be decided, stored if it has an ETag.

        Args:
            run: The run.
            call: The call.
            rules: What the agent's spec demands.
            held: Whether it was looked at before: what was decided then holds, whatever is demanded by now.
        """
        if held and (decided := await self._known(run, call)) is not None:
            return _verdict(decided)
        policy = await self._policies.of(run.workspace)
        needed = need(run.agent, call.tool, call.arguments, policy, rules, call.approval)
        if needed is None:
            return Allowed(call.arguments)
        try:
            arguments = canonical(call.arguments)
        except (ValueError, TypeError, RecursionError):
            return Rejected("its arguments are no JSON")
        if len(arguments) > MAX_ARGUMENTS_BYTES:
            msg = f"it needs an approval, and nobody can review {len(arguments)} bytes of arguments; "
            return Rejected(f"{msg}at most {MAX_ARGUMENTS_BYTES} are possible")
        found = await self._known(run, call)
        if found is not None:
            return _verdict(found)
        subject = _subject(call, needed.why)
        if needed.waivable and await self._stands(run, subject):
            return Allowed(call.arguments)
        asked = requested(place_of(run), subject, needed.terms, run.spend.cost_micro_usd, self._clock())
        return Record(asked, arguments, excerpt=excerpt_of(run))

    async def check_asked(self, run: Run, servers: Sequence[Mcp]) -> None:
        """Check that the provider asks before it calls tools that the workspace's policy names.

        Args:
            run: The run.
            servers: The MCP servers whose tools the provider calls itself.

        Raises:
            RunFailed: It does not (code `approval_not_asked`).
        """
        if all(server.asks for server in servers):
            return
        policy = await self._policies.of(run.workspace)
        server = unasked(rules_for(policy, run.agent), servers)
        if server is not None:
            msg = f"The workspace's policy is not kept: {unasked_because(server)}."
            raise RunFailed(msg, code="approval_not_asked")

    async def drafts(self, run: Run) -> Sequence[Record]:
        """Return the drafts of the run's answer that people were asked about, in order."""
        found = [
            each for each in await self._approvals.of_run(run.workspace, run.id) if each.approval.subject.kind == ANSWER
        ]
        return sorted(found, key=lambda each: (each.approval.requested_at, each.approval.subject.call_id))

    def draft(self, run: Run, version: str, text: str, approvers: Sequence[str]) -> ApprovalPending:
        """Return what has a run wait until a draft of its answer is approved; with none named, anybody may."""
        arguments = {ANSWER: text}
        if len(canonical(arguments)) > MAX_ARGUMENTS_BYTES:
            msg = f"The answer needs an approval, and nobody can review more than {MAX_ARGUMENTS_BYTES} bytes."
            raise RunFailed(msg, code="draft_too_long")
        subject = Subject(ANSWER, ANSWER, f"answer-{run.attempt}", digest(arguments), version, "the team")
        terms = ApprovalTerms((tuple(approvers),) if approvers else ())
        asked = requested(place_of(run), subject, terms, run.spend.cost_micro_usd, self._clock())
        return ApprovalPending([Record(asked, canonical(arguments), excerpt=excerpt_of(run))])

    async def begin(self, workspace: str, approval_id: str) -> Begun:
        """Note that an approved call is about to be made; it must not be where it has a result.

        Raises:
            Conflict: It is not approved any more.
            NotFound: There is no such approval any more.
            Unavailable: It cannot be noted; the call must not be made.
        """
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            record = await self._approvals.get(workspace, approval_id)
            if record.result is not None:
                return Begun(record.result)
            if record.approval.state is not State.APPROVED:
                raise too_late(record.approval)
            if await self._approvals.save(record, replace(record, approval=begun(record.approval, self._clock()))):
                return Begun(repeated=record.approval.execution is not None)
        msg = "The approval is being changed by too many at once."
        raise Unavailable(msg, code="approval_busy")

    async def finish(self, workspace: str, approval_id: str, result: str) -> None:
        """Note what an approved call returned, for an attempt that comes after this one.

        Where that cannot be noted, such an attempt makes the call again, with the same idempotency key.
        """
        try:
            for _ in range(_CHANGES_BEFORE_GIVING_UP):
                record = await self._approvals.get(workspace, approval_id)
                after = replace(record, approval=finished(record.approval, self._clock()), result=cut(result))
                erased = not record.arguments
                if erased or record.result is not None or await self._approvals.save(record, after):
                    return
        except AppError as error:
            log.warning("result not noted: %s", error.code, extra={"event": "approval.result_not_noted"})

    async def _known(self, run: Run, call: RequestedCall) -> Record | None:
        try:
            ident = approval_id(run.id, _subject(call))
        except (ValueError, TypeError, RecursionError):
            return None
        return await self._approvals.find(run.workspace, ident)

    async def _stands(self, run: Run, subject: Subject) -> bool:
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
    """Return whose run waits."""
    return RunRef(run.workspace, run.agent, run.session_id, run.id, run.user_id or "")


def excerpt_of(run: Run) -> str:
    """Return what the user asked, as an approval shows it."""
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
