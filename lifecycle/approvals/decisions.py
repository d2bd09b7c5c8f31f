"""Decides approvals and resumes the runs that wait for them.

A decision is stored with the approval first; from then on it is final. It is then applied to the run: the run's row
lists the approvals that it waits for (`Dispatch.awaits`), and loses an entry in the transaction that adds the event.
When the list is empty, the session is resumed. If a process dies in between, an entry in the index `due` is left, by
which `sweep` finds the run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kernel.clock import Clock, hour_bucket
from kernel.due_index import DueIndex, Entry, outlasted
from kernel.errors import AppError, InvalidInput, RunFailed, Unavailable
from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.approvals import approval as model
from lifecycle.approvals.approval import MAX_REASON, Approval, Person, State, Verb, canonical
from lifecycle.approvals.policy import PolicyStore, StandingRule
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import Session, SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.conversations.session_updates import outcome
from lifecycle.conversations.team_assignment import NO_FREE_MEMBER, PERSON

if TYPE_CHECKING:
    from lifecycle.approvals.requests import ApprovalRequests
    from lifecycle.approvals.store import ApprovalStore, Record
    from lifecycle.conversations.run_request import Send
    from lifecycle.sessions.pause import SessionPause

log = logging.getLogger(__name__)

_CHANGES_BEFORE_GIVING_UP = 20
_LOOK_AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """A person's decision, as the API receives it.

    Attributes:
        verb: The decision.
        reason: Why, at most MAX_REASON characters.
        arguments: With `amend`, the arguments to call the tool with instead; else None.
        always: What to approve from now on, until the agent's version changes: `call` with these arguments, `tool` with
            any; None for this call only.
    """

    verb: Verb
    reason: str = ""
    arguments: Mapping[str, Any] | None = None
    always: str | None = None


class ApprovalDecisions:
    """Decides approvals and resumes their runs."""

    def __init__(
        self,
        approvals: ApprovalStore,
        policies: PolicyStore,
        requests: ApprovalRequests,
        conversations: ConversationStore,
        pause: SessionPause,
        due: DueIndex,
        clock: Clock,
    ) -> None:
        self._approvals = approvals
        self._policies = policies
        self._requests = requests
        self._conversations = conversations
        self._pause = pause
        self._due = due
        self._clock = clock

    async def decide(self, workspace: str, ident: str, person: Person, ruling: DecisionRequest, send: Send) -> Record:
        """Store the decision, resume the run if nothing else of it waits, and return the approval.

        Repeating the same decision changes nothing, except that it completes what an earlier call could not.

        Raises:
            NotFound: There is no such approval.
            Forbidden: The person may not decide.
            InvalidInput: The arguments or the reason are not valid.
            Conflict: It was decided differently, it has expired, or the run no longer waits for it.
            Unavailable: The decision is stored, but the run could not be queued; a timer queues it, or a repeated call.
        """
        _check(ruling)
        record = await self._approvals.get(workspace, ident)
        await self._due.add(workspace, record.approval.place.run_id, self._clock())
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            await self._check_wanted(record.approval)
            after = self._with_decision(record, person, ruling)
            if after.approval is record.approval or await self._approvals.save(record, after):
                if ruling.always and after.approval.state is State.APPROVED:
                    await self._add_standing_rule(after.approval, ruling.always)
                await self.settle(workspace, after.approval.place.run_id, send)
                return await self._approvals.get(workspace, ident)
            record = await self._approvals.get(workspace, ident)
        msg = "The approval is being decided by too many callers at once."
        raise Unavailable(msg, code="approval_busy", retry_after_s=1)

    async def settle(self, workspace: str, run_id: str, send: Send) -> bool:
        """Bring a run's approvals up to date: expire or withdraw them, apply decisions to the run, and resume it.

        Returns:
            Whether the run still has pending approvals.
        """
        records = await self._approvals.of_run(workspace, run_id)
        if not records:
            return False
        place = records[0].approval.place
        stored = await self._conversations.load(workspace, place.session_id, run_id)
        current = [await self._up_to_date(record, stored) for record in records]
        for record in current:
            if not record.approval.open and stored.run and record.approval.id in stored.run.dispatch.awaits:
                stored = await self._conversations.update(
                    workspace,
                    place.session_id,
                    run_id,
                    lambda found, one=record.approval: self._applied_to_run(found, one),
                )
        session = stored.session
        if session is not None and _waits_to_go_on(session) and self._waits_for_none(stored):
            await self._pause.resume(workspace, place.session_id, send)
        return any(record.approval.open for record in current)

    async def sweep(self, send: Send) -> int:
        """Settle the runs with a due approval, and return how many were looked at."""
        count = 0
        async for entry in self._due.until(self._clock()):
            try:
                await self._settle_due(entry, send)
            except AppError as error:
                log.warning("run not settled: %s", error.code, extra={"event": "approval.not_settled"})
                continue
            count += 1
        return count

    async def _settle_due(self, entry: Entry, send: Send) -> None:
        if await self.settle(entry.workspace, entry.name, send):
            records = await self._approvals.of_run(entry.workspace, entry.name)
            open_ones = [record.approval for record in records if record.approval.open]
            await self._requests.announce(open_ones)
            now = self._clock()
            later = min([approval.due for approval in open_ones if approval.due] + [now + _LOOK_AGAIN])
            await self._due.add(entry.workspace, entry.name, max(later, now))
            if hour_bucket(max(later, now)) == entry.hour:
                return  # it is entered already
        elif not await self._no_longer_waits(entry):
            return
        await self._due.drop(entry.workspace, entry.name, entry.hour)

    async def _no_longer_waits(self, entry: Entry) -> bool:
        """Return whether the run no longer waits and is not about to wait."""
        records = await self._approvals.of_run(entry.workspace, entry.name)
        if not records:
            return outlasted(entry, self._clock())
        place = records[0].approval.place
        run = await self._conversations.run(entry.workspace, place.session_id, entry.name)
        return run is None or not (run.state is RunState.RUNNING or _awaits(run))

    def _with_decision(self, record: Record, person: Person, ruling: DecisionRequest) -> Record:
        approval = model.decided(record.approval, ruling.verb, person, ruling.reason, ruling.arguments, self._clock())
        if approval is record.approval:
            return record
        if ruling.arguments is None:
            return replace(record, approval=approval)
        return replace(record, approval=approval, arguments=canonical(ruling.arguments), asked=record.arguments)

    async def _check_wanted(self, approval: Approval) -> None:
        """Withdraw an approval whose run has ended, or waits for something else, before it is decided.

        Raises:
            Conflict: The run no longer waits for it.
            Unavailable: The run is about to wait for it, or to request it again.
        """
        if not approval.open:
            return
        place = approval.place
        stored = await self._conversations.load(place.workspace, place.session_id, place.run_id)
        if not _may_be_waited_for(approval, stored.run):
            record = await self._approvals.get(place.workspace, approval.id)
            if record.approval.open:
                withdrawn = model.withdrawn(record.approval, self._clock())
                await self._approvals.save(record, replace(record, approval=withdrawn))
                raise model.too_late(withdrawn)
        elif approval.id not in _awaits(stored.run):
            msg = "The run is about to wait for this; try again in a moment."
            raise Unavailable(msg, code="approval_not_waiting", retry_after_s=2)

    async def _add_standing_rule(self, approval: Approval, always: str) -> None:
        place, subject = approval.place, approval.subject
        decision = approval.decision
        standing = StandingRule(
            place.agent,
            subject.version,
            subject.tool,
            "" if always == "tool" else subject.arguments_hash,
            decision.by if decision else "",
            approval.id,
            self._clock(),
        )
        await self._policies.add_standing(place.workspace, standing)

    async def _up_to_date(self, record: Record, stored: StoredConversation) -> Record:
        """Return the approval as of now: withdrawn if its run no longer wants it, expired if overdue."""
        now = self._clock()
        for _ in range(_CHANGES_BEFORE_GIVING_UP):
            approval = record.approval
            if not approval.open:
                return record
            if not _may_be_waited_for(approval, stored.run):
                after = model.withdrawn(approval, now)
            elif model.overdue(approval, now):
                after = model.after_deadline(approval, now)
            else:
                return record
            if await self._approvals.save(record, replace(record, approval=after)) and after.open:
                await self._requests.announce([after])
            record = await self._approvals.get(approval.place.workspace, approval.id)
        return record

    def _applied_to_run(self, stored: StoredConversation, approval: Approval) -> ConversationChange | None:
        """Return the change that applies a closed approval to its run, with the event; None if already applied."""
        run, session = stored.run, stored.session
        if run is None or session is None or session.state is SessionState.ERASED:
            return None
        if approval.id not in run.dispatch.awaits:
            return None
        event = _event(approval, run)
        decided = runs.decided(run, approval.id)
        if run.finished:
            return ConversationChange(session, decided, events=[event])
        if approval.subject.kind != "budget":
            return ConversationChange(session, decided, events=[event])
        if approval.state is State.APPROVED:
            return ConversationChange(session, runs.approved(decided), events=[event])
        if approval.state is State.WITHDRAWN or run.state is not RunState.WAITING:
            return ConversationChange(session, decided, events=[event])
        reason = model.rejection(approval)
        failure = RunFailed(f"It was to go on beyond a share of its budget, but {reason}.", code="approval_rejected")
        now = self._clock()
        return outcome(session, run, runs.failed(decided, failure, now), [event], (), now)

    def _waits_for_none(self, stored: StoredConversation) -> bool:
        """Return whether the session no longer waits for any approval."""
        run, session = stored.run, stored.session
        if run is None or session is None:
            return False
        if run.finished:
            return True
        return run.state is RunState.WAITING and not run.dispatch.awaits and run.dispatch.for_approvals


def _event(approval: Approval, run: Run) -> Event:
    subject, decision = approval.subject, approval.decision
    data: dict[str, Any] = {"run_id": run.id, "approval_id": approval.id, "tool": subject.tool}
    at = approval.closed_at or approval.requested_at
    if approval.state is State.EXPIRED:
        return Event("approval.expired", data, at)
    if decision is None:
        return Event("approval.withdrawn", data, at)
    data |= {"decision": decision.decision} | ({"by": decision.by} if decision.by else {})
    return Event("approval.decided", data, at)


def _waits_to_go_on(session: Session) -> bool:
    """Return whether a session waits, but not for somebody to take it: that is no matter of approvals."""
    return session.state is SessionState.WAITING and session.pause_reason not in (PERSON, NO_FREE_MEMBER)


def _awaits(run: Run | None) -> Sequence[str]:
    return () if run is None or run.finished else run.dispatch.awaits


def _may_be_waited_for(approval: Approval, run: Run | None) -> bool:
    """Return whether the run waits for the approval, or may do so in a moment."""
    if run is None or run.finished:
        return False
    waits = run.state is RunState.WAITING
    if approval.id in run.dispatch.awaits:
        return waits or approval.subject.kind != "budget"  # a budget's run may have found the budget free again
    return not (waits and run.dispatch.for_approvals)


def _check(ruling: DecisionRequest) -> None:
    if len(ruling.reason) > MAX_REASON:
        msg = f"A reason has at most {MAX_REASON} characters."
        raise InvalidInput(msg, code="reason_too_long", fields={"/reason": msg})
    if ruling.always is not None and ruling.verb != "approve":
        msg = "Only a call approved with its original arguments can be approved from now on."
        raise InvalidInput(msg, code="nothing_to_repeat", fields={"/always": msg})
