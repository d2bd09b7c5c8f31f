"""Escalation of sessions along their team's path: by a condition of a run, or because they wait too long for a person.

A level that requires an approval waits for it in the list of approvals. A run that meets a level's condition waits
itself; a session that waits for a person stays where it is until the approval is decided, and goes on along the path if
it is not.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.clock import Clock, hour_bucket
from kernel.due_index import outlasted
from kernel.errors import AppError, Conflict
from kernel.journal import Event
from lifecycle.approvals.approval import ApprovalTerms, State, Subject, digest, requested
from lifecycle.approvals.gate import ApprovalPending, excerpt_of, place_of
from lifecycle.approvals.store import ApprovalStore, Record
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session_rules import waits_for_person, with_person_wait
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.teams import handoff_rules as moves
from lifecycle.teams.handoff import HandoffRequest, Handoffs
from lifecycle.teams.member_routing import Wanted

if TYPE_CHECKING:
    from kernel.due_index import DueIndex, Entry
    from lifecycle.approvals.requests import ApprovalRequests
    from lifecycle.conversations.run_request import Send
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.team_assignment import PersonWait, TeamAssignment
    from lifecycle.specs.team import EscalationLevel, Team
    from lifecycle.teams.person_notifications import Announcements
    from lifecycle.teams.team_store import Teams

log = logging.getLogger(__name__)


class Escalations:
    """Announces levels of escalation paths, and has them approved.

    Attributes:
        announcements: Notifies people.
    """

    def __init__(
        self, announcements: Announcements, approvals: ApprovalStore, requests: ApprovalRequests, clock: Clock
    ) -> None:
        self.announcements = announcements
        self._approvals = approvals
        self._requests = requests
        self._clock = clock

    async def reached(
        self, session: Session, assignment: TeamAssignment, run: Run, team: Team, level: EscalationLevel
    ) -> bool:
        """Announce that a run meets a level's condition; return whether it is to be handed over.

        Raises:
            ApprovalPending: The level requires an approval that is not decided yet.
        """
        await self.announcements.escalated(session, assignment, level.level, level.notification_channels)
        if not (level.auto_escalate and level.requires_approval):
            return level.auto_escalate
        wanted = self._record(run, team, level)
        record = await self._approvals.find(run.workspace, wanted.approval.id) or wanted
        if record.approval.open:
            raise ApprovalPending([record])
        return record.approval.state is State.APPROVED

    async def ask(self, run: Run, team: Team, level: EscalationLevel) -> Record:
        """Store the approval that a waiting session needs for a level, and return it; it is the same each time."""
        record = self._record(run, team, level)
        await self._requests.enter(run, [record])
        return record

    async def announce(self, record: Record) -> None:
        """Notify of an approval that was asked for."""
        await self._requests.announce([record.approval])

    async def state(self, workspace: str, approval_id: str) -> State:
        """Return the state of an approval; one that does not exist any more is withdrawn."""
        record = await self._approvals.find(workspace, approval_id)
        return record.approval.state if record is not None else State.WITHDRAWN

    def _record(self, run: Run, team: Team, level: EscalationLevel) -> Record:
        target = level.target or f"specialists for {level.target_specialization}"
        why = f"level {level.level} of the escalation path, to {target}"
        subject = Subject("escalation", "", f"level-{level.level}", digest({}), "", why)
        terms = ApprovalTerms((team.approvers,) if team.approvers else ())
        asked = requested(place_of(run), subject, terms, run.spend.cost_micro_usd, self._clock())
        return Record(asked, excerpt=excerpt_of(run))


class WaitingForPeople:
    """Escalates sessions that wait too long for a person."""

    def __init__(
        self,
        teams: Teams,
        handoffs: Handoffs,
        conversations: ConversationStore,
        escalations: Escalations,
        due: DueIndex,
        clock: Clock,
    ) -> None:
        self._teams = teams
        self._handoffs = handoffs
        self._conversations = conversations
        self._escalations = escalations
        self._due = due
        self._clock = clock

    async def sweep(self, send: Send) -> int:
        """Escalate sessions that have waited too long, and notify of waiting ones; return how many were checked."""
        count = 0
        async for entry in self._due.until(self._clock()):
            try:
                await self._check(entry, send)
            except AppError as error:
                log.warning("conversation not checked: %s", error.code, extra={"event": "team.not_swept"})
                continue
            count += 1
        return count

    async def _check(self, entry: Entry, send: Send) -> None:
        session = (await self._conversations.load(entry.workspace, entry.name)).session
        assignment = session.assignment if session and not session.over else None
        if session is None or assignment is None or assignment.person_wait is None:
            if outlasted(entry, self._clock()):
                await self._due.drop(entry.workspace, entry.name, entry.hour)
            return
        wait = assignment.person_wait
        await self._escalations.announcements.waiting(session)
        if wait.approval and await self._decided(session, assignment, wait, send):
            return
        due, late = wait.due, wait.due is not None and wait.due <= self._clock() and waits_for_person(session)
        if late and await self._escalated(session, assignment, wait, send):
            due = self._clock()
        if wait.approval:
            due = self._clock()  # its decision is looked for
        if due is None:
            await self._due.drop(entry.workspace, entry.name, entry.hour)
        elif hour_bucket(due) > entry.hour:
            await self._due.add(entry.workspace, entry.name, due)
            await self._due.drop(entry.workspace, entry.name, entry.hour)

    async def _decided(self, session: Session, assignment: TeamAssignment, wait: PersonWait, send: Send) -> bool:
        """Carry out the decision about a level; return False while there is none."""
        state = await self._escalations.state(session.workspace, wait.approval)
        if state is State.PENDING:
            return False
        team = (await self._teams.get(session.workspace, assignment.team)).team
        level = next((each for each in team.escalation_path if each.level == wait.level), None)
        if state is State.APPROVED and level is not None and not wait.claimed_by:
            reason = f"level {level.level} of the escalation path was approved"
            if await self._moved(session, assignment, level, reason, send):
                return True

        def decide(stored: StoredConversation) -> ConversationChange | None:
            now = stored.session.assignment if stored.session else None
            if stored.session is None or now is None or now.person_wait is None:
                return None
            if now.person_wait.approval != wait.approval:
                return None
            return ConversationChange(with_person_wait(stored.session, replace(now.person_wait, approval="")))

        await self._conversations.update(session.workspace, session.id, None, decide)
        return True

    async def _escalated(self, session: Session, assignment: TeamAssignment, wait: PersonWait, send: Send) -> bool:
        """Take a session to the next level of the path; return whether to check it again."""
        team = (await self._teams.get(session.workspace, assignment.team)).team
        level = team.level_after(wait.level)
        if level is None:
            return False
        escalations = self._escalations
        await escalations.announcements.escalated(session, assignment, level.level, level.notification_channels)
        if not level.auto_escalate or level.target == assignment.member:
            await self._record_level(session, team, level)
        elif level.requires_approval:
            await self._ask(session, team, level)
        else:
            reason = f"nobody of {assignment.member} has taken it in time (level {level.level})"
            if not await self._moved(session, assignment, level, reason, send):
                await self._record_level(session, team, level)
        return True

    async def _moved(
        self, session: Session, assignment: TeamAssignment, level: EscalationLevel, reason: str, send: Send
    ) -> bool:
        """Hand a session over to the level; return False if no member is free, or it was handed over meanwhile."""
        wanted = Wanted(level.target, level.target_specialization)
        request = HandoffRequest(wanted, "escalation", reason, level=level.level, source=assignment.member)
        try:
            after = await self._handoffs.hand_over(session.workspace, session.id, request, send)
        except Conflict:
            return False
        await self._escalations.announcements.waiting(after)
        return True

    async def _ask(self, session: Session, team: Team, level: EscalationLevel) -> None:
        """Ask for the approval of a level; without a run that waits for an answer, nobody is asked."""
        found = self._conversations.runs_in(session.workspace, session.id, RunState.WAITING)
        first = min([run async for run in found], key=lambda run: run.number, default=None)
        if first is None:
            await self._record_level(session, team, level)
            return
        record = await self._escalations.ask(first, team, level)
        await self._record_level(session, team, level, first.id, record.approval.id)
        await self._escalations.announce(record)

    async def _record_level(
        self, session: Session, team: Team, level: EscalationLevel, run_id: str | None = None, approval_id: str = ""
    ) -> None:
        """Record that a session has reached a level that did not move it, and the approval that is to move it."""

        def decide(stored: StoredConversation) -> ConversationChange | None:
            now, assignment = self._clock(), stored.session.assignment if stored.session else None
            if (
                stored.session is None
                or assignment is None
                or assignment.person_wait is None
                or assignment.person_wait.level >= level.level
            ):
                return None
            due = moves.person_wait_of(team, now, level.level).due
            wait, run = replace(assignment.person_wait, level=level.level, due=due, approval=""), stored.run
            if run is None or run.state is not RunState.WAITING:
                return ConversationChange(with_person_wait(stored.session, wait))
            run = replace(run, dispatch=replace(run.dispatch, awaits=(*run.dispatch.awaits, approval_id)))
            event = Event(
                "approval.requested", {"run_id": run.id, "attempt": run.attempt, "approval_id": approval_id}, now
            )
            session = with_person_wait(stored.session, replace(wait, approval=approval_id))
            return ConversationChange(session, run, events=[event])

        await self._conversations.update(session.workspace, session.id, run_id, decide)
