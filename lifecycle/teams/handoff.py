"""Handoffs of sessions: one mechanism for all causes.

1. The next member gets a seat for the session; if it is a person, also an entry in the inbox.
2. One transaction in the session's partition assigns the member, records the hop with the run, and adds the event.
3. The previous member's seat is released, and the waiting runs are queued.

A crash after 1 leaves a seat and an entry too many, which are removed when they are read. A crash after 2 leaves a
queued run: its message is delivered again, or a timer queues it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import AppError, Conflict, InvalidInput, NotFound
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import APPROVAL, Session, SessionState
from lifecycle.conversations.session_store import ConversationChange, ConversationStore, StoredConversation
from lifecycle.conversations.team_assignment import HandoffBy, Note, TeamAssignment
from lifecycle.specs.team import ContextPolicy, Member, Team
from lifecycle.teams import handoff_rules as moves
from lifecycle.teams import member_routing as routing
from lifecycle.teams.handoff_rules import Move
from lifecycle.teams.member_routing import Extension, Situation, Wanted

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.conversations.run_request import Send
    from lifecycle.teams.escalation import Escalations
    from lifecycle.teams.handoff_indexes import HandoffIndexes
    from lifecycle.teams.status import TeamLog
    from lifecycle.teams.team_store import Teams

log = logging.getLogger(__name__)


class HandedOver(AppError):
    """The run continues with another member of its team."""

    code = "handed_over"

    def __init__(self, move: Move) -> None:
        super().__init__(f"It goes on with {move.member.name}.")
        self.move = move


@dataclass(frozen=True, slots=True)
class HandoffRequest:
    """A request to hand a session over.

    Attributes:
        wanted: Whom to hand it to.
        by: What caused the request.
        reason: The reason.
        facts: Known facts.
        questions: Open questions.
        urgency: Its urgency; shown to people.
        context: How much of the history the next agent gets; None for the team's setting.
        level: Level of the escalation path that it reaches.
        source: The member that must have it at present; None for any.
    """

    wanted: Wanted
    by: HandoffBy
    reason: str
    facts: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    urgency: str = "medium"
    context: ContextPolicy | None = None
    level: int = 0
    source: str | None = None


class Handoffs:
    """Hands sessions over."""

    def __init__(
        self,
        teams: Teams,
        places: HandoffIndexes,
        conversations: ConversationStore,
        escalations: Escalations,
        team_log: TeamLog,
        extensions: Mapping[str, Extension],
        clock: Clock,
    ) -> None:
        self._teams = teams
        self._places = places
        self._conversations = conversations
        self._escalations = escalations
        self._log = team_log
        self._extensions = extensions
        self._clock = clock

    async def of(self, session: Session, run: Run) -> RunHandoffs | None:
        """Return the possible handoffs of a run; None if its session has no team, or that does not exist any more."""
        served = session.served
        if served is None or not served.member:
            return None
        try:
            team = await self._teams.of(session.workspace, served.team)
        except NotFound:
            return None
        member = team.find(served.member)
        return RunHandoffs(self, session, run, team, member) if member is not None else None

    async def choose(
        self,
        session: Session,
        team: Team,
        choices: Sequence[routing.Choice],
        request: HandoffRequest,
        summary: str = "",
    ) -> Move | None:
        """Return the move to the first of the members that gets a seat; None if none does."""
        served = session.served
        if served is None:
            return None
        now = self._clock()
        for choice in choices:
            if not await self._places.take(session, choice.member):
                continue
            note = Note(served.member, request.reason, request.facts, request.questions, summary)
            reason = request.reason if choice.reason == "it was asked for" else f"{request.reason}; {choice.reason}"
            move = Move(
                team,
                choice.member,
                request.by,
                reason,
                served.member,
                now,
                note if served.member else served.note,
                await self._places.pin(session, choice.member),
                request.level,
                request.urgency,
                request.context,
            )
            await asyncio.gather(self._places.enter(session, move), self._log.handoff(session, move))
            return move
        return None

    async def candidates(self, session: Session, team: Team, wanted: Wanted) -> Sequence[routing.Choice]:
        """Return the members that could take the session over, in order of preference."""
        served = session.served or TeamAssignment("", "", self._clock())
        loads = await self._places.loads(session.workspace, served.team, team)
        return routing.for_handoff(team, served.member, wanted, loads, self._clock(), served.trail)

    async def finish(self, before: Session, after: Session, move: Move) -> None:
        """Remove outdated entries: those of the previous member, or if the handoff did not happen, of the next one."""
        await self._places.leave(before, after, move)
        if move.member.human:
            await self._escalations.announcements.waiting(after)

    async def hand_over(self, workspace: str, session_id: str, request: HandoffRequest, send: Send) -> Session:
        """Hand a session over; a run that is running is finished by its present member.

        Raises:
            NotFound: The session does not exist.
            InvalidInput: The member does not exist, or has the session already.
            Conflict: The session has no team, has ended, or waits for an approval; or no member can take it.
            Unavailable: It is handed over, but its waiting runs could not be queued; a timer does it.
        """
        session, served, team = await self._served(workspace, session_id)
        if request.source is not None and served.member != request.source:
            msg = "The conversation was handed over meanwhile."
            raise Conflict(msg, code="handoff_overtaken")
        if session.state is SessionState.WAITING and session.pause_reason == APPROVAL:
            msg = "Something of the conversation waits for an approval; decide it, or cancel its run, first."
            raise Conflict(msg, code="approval_pending")
        _check(team, served, request.wanted)
        choices = await self.candidates(session, team, request.wanted)
        move = await self.choose(session, team, choices, request)
        if move is None:
            msg = "No member of the team can take the conversation now."
            raise Conflict(msg, code="nobody_available")
        return await self.commit(session, move, send)

    async def commit(self, session: Session, move: Move, send: Send) -> Session:
        """Hand the session over as chosen, and queue its waiting runs.

        Raises:
            NotFound: The session was erased meanwhile.
            Unavailable: See `hand_over`.
        """
        run_id = await self._current(session)
        if not move.member.human:
            await self._places.announce(session)

        def decide(stored: StoredConversation) -> ConversationChange | None:
            before = stored.session
            if before is None:
                return None
            now = self._clock()
            after = moves.moved(before, move, now)
            if after is before:
                return None
            run = stored.run
            if run is not None and run.state in (RunState.WAITING, RunState.QUEUED):
                run = moves.hopped(run, move, now, aim=after.agent)
                events = [*moves.initiated(after, move, run, now), *moves.limited(run, move, now)]
                return ConversationChange(after, run, events=events)
            return ConversationChange(after, events=moves.initiated(after, move, None, now))

        stored = await self._conversations.update(session.workspace, session.id, run_id, decide)
        if stored.session is None:
            raise NotFound(f"There is no session {session.id!r}.", code="session_not_found")
        await self.finish(session, stored.session, move)
        if stored.session.resuming:
            await self._places.queue_kept(stored.session, send)
        return stored.session

    async def replying(self, session: Session, run_id: str) -> None:
        """Record that a person is about to answer a run."""
        await self._log.reply(session, run_id)

    async def _served(self, workspace: str, session_id: str) -> tuple[Session, TeamAssignment, Team]:
        session = (await self._conversations.load(workspace, session_id)).session
        if session is None or session.state is SessionState.ERASED:
            raise NotFound(f"There is no session {session_id!r}.", code="session_not_found")
        if session.over:
            msg = f"Session {session_id!r} has ended ({session.end_reason})."
            raise Conflict(msg, code="session_ended")
        served = session.served
        if served is None:
            msg = f"Session {session_id!r} is with one agent, and no team serves it."
            raise Conflict(msg, code="no_team")
        return session, served, (await self._teams.get(workspace, served.team)).team

    async def _current(self, session: Session) -> str | None:
        """Return the id of the run to be answered next, if no worker runs it; else None."""
        found = self._conversations.runs_in(session.workspace, session.id, RunState.WAITING, RunState.QUEUED)
        first = min([run async for run in found], key=lambda run: run.number, default=None)
        return first.id if first is not None else None

    def fired(self, member: Member, situation: Situation, conditions: Sequence[str]) -> HandoffRequest | None:
        """Return the request of a trigger that fires; None if none does."""
        trigger = routing.fired(member, situation, conditions, self._extensions)
        if trigger is None:
            return None
        return HandoffRequest(routing.wanted_by(trigger), "trigger", routing.trigger_reason(trigger))

    async def escalated(
        self, handoffs: RunHandoffs, session: Session, run: Run, situation: Situation, conditions: Sequence[str]
    ) -> HandoffRequest | None:
        """Return the request of a level of the escalation path; None if no condition holds, or it does not move.

        Raises:
            ApprovalPending: The level requires an approval that is not decided yet.
        """
        team, served = handoffs.team, session.served
        level = routing.escalates(team, handoffs.member, situation, conditions, self._extensions)
        if level is None or served is None:
            return None
        if not await self._escalations.reached(session, served, run, team, level):
            return None
        wanted = Wanted(level.target, level.target_specialization)
        reason = f"level {level.level} of the escalation path ({level.condition})"
        return HandoffRequest(wanted, "escalation", reason, level=level.level)


class RunHandoffs:
    """The possible handoffs of one attempt at a run.

    Attributes:
        team: The team.
        member: The member that has the run.
    """

    def __init__(self, handoffs: Handoffs, session: Session, run: Run, team: Team, member: Member) -> None:
        self._handoffs = handoffs
        self._session = session
        self._run = run
        self.team = team
        self.member = member

    @property
    def targets(self) -> Sequence[Member]:
        """The members that the model may hand over to."""
        return [member for member in self.team.members if member is not self.member and self._may_go_to(member)]

    async def before(self) -> None:
        """Evaluate triggers before the model is called.

        Raises:
            HandedOver: A trigger fires, or a level of the escalation path is reached, and a member takes over.
            ApprovalPending: The level requires an approval.
        """
        await self._triggered(self._situation(), routing.BEFORE)

    async def after(self, answer: str, score: float | None, scores: Mapping[str, float], cost_micro_usd: int) -> None:
        """Evaluate triggers after an answer.

        Args:
            answer: The answer.
            score: Its overall score.
            scores: Its scores by check.
            cost_micro_usd: What the run has cost including this attempt, in millionths of a USD.

        Raises:
            HandedOver: A trigger fires, and a member takes over.
        """
        situation = replace(self._situation(), answer=answer, score=score, scores=scores, cost_micro_usd=cost_micro_usd)
        await self._triggered(situation, routing.AFTER)

    async def failed(self, *, last: bool) -> Move | None:
        """Return the move after a failed attempt; None if the run stays with the member.

        Args:
            last: Whether the member has no further attempt.
        """
        team = self._run.team
        situation = replace(self._situation(), failures=(team.failures if team else 0) + 1)
        request = await self._requested(situation, routing.FAILED)
        move = await self.to(request) if request is not None else None
        if move is None and last:
            move = await self.to(HandoffRequest(Wanted(), "failure", f"{self.member.name} could not answer"))
        return move

    async def finish(self, before: Session, after: Session, move: Move) -> None:
        """Remove outdated entries after the run was handed over, or was not."""
        await self._handoffs.finish(before, after, move)

    async def to(self, request: HandoffRequest, summary: str = "") -> Move | None:
        """Return the requested move, or the one by the team's policy; None if there is none."""
        choices = await self._handoffs.candidates(self._session, self.team, request.wanted)
        possible = [choice for choice in choices if self._may_go_to(choice.member, request.by)]
        return await self._handoffs.choose(self._session, self.team, possible, request, summary)

    async def _triggered(self, situation: Situation, conditions: Sequence[str]) -> None:
        request = await self._requested(situation, conditions)
        move = await self.to(request) if request is not None else None
        if move is not None:
            raise HandedOver(move)

    async def _requested(self, situation: Situation, conditions: Sequence[str]) -> HandoffRequest | None:
        """Return the request of a trigger, else of the escalation path; None for none."""
        request = self._handoffs.fired(self.member, situation, conditions)
        if request is not None or not self.team.escalation_path:
            return request
        return await self._handoffs.escalated(self, self._session, self._run, situation, conditions)

    def _may_go_to(self, target: Member, by: HandoffBy = "model") -> bool:
        hops = self._run.team.hops if self._run.team else ()
        first = hops[0].source if hops else self.member.name
        if by == "failure" and (target.human or target.name in routing.failed_before(hops)):
            return target.human  # whom nothing can fail, however often it was handed over
        return routing.may_go_on(self.team, first, hops, target.name)

    def _situation(self) -> Situation:
        run, served = self._run, self._session.served
        return Situation(
            run.query,
            run.metadata,
            runs=max(1, run.number - (served.runs if served else 0)),
            cost_micro_usd=run.spend.cost_micro_usd,
        )


def _check(team: Team, served: TeamAssignment, wanted: Wanted) -> None:
    """Check that the requested member exists and does not have the session.

    Raises:
        InvalidInput: It does not exist, or has the session.
    """
    if wanted.member is not None and team.find(wanted.member) is None:
        msg = "The team has no such member."
        raise InvalidInput(msg, code="unknown_member", fields={"/target": msg})
    if wanted.member is not None and wanted.member == served.member:
        msg = "The member has the conversation already."
        raise InvalidInput(msg, code="handoff_to_self", fields={"/target": msg})
    special = wanted.specialization
    if special is not None and all(member.specialization != special for member in team.members):
        msg = "No member of the team has that specialization."
        raise InvalidInput(msg, code="unknown_specialization", fields={"/target_specialization": msg})
