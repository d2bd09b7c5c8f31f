"""What a handoff changes in a session and its run: pure rules for all causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kernel.journal import Event
from kernel.lazy_dataclass import dataclass
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.session import Session, SessionState
from lifecycle.conversations.session_updates import state_event
from lifecycle.conversations.team_assignment import (
    NO_FREE_MEMBER,
    PERSON,
    TRAIL,
    HandoffBy,
    Hop,
    Note,
    PersonWait,
    TeamAssignment,
    TeamRun,
)
from lifecycle.registry.declarations import Pin
from lifecycle.specs.team import ContextPolicy, Member, Team
from lifecycle.teams import member_routing as routing

if TYPE_CHECKING:
    from lifecycle.conversations.run import Effort, Run


@dataclass(frozen=True, slots=True)
class Move:
    """A handoff, once the next member has a seat for the session.

    Attributes:
        team: The team.
        member: The next member.
        by: What caused it.
        reason: The reason, for people to read.
        source: The member that had it at the decision; empty if it waited for a free member.
        at: When it was decided, aware UTC.
        note: The note for the next member.
        pin: The pin of the next member's agent; None if the session is not pinned.
        level: Level of the escalation path that it reaches.
        urgency: Its urgency, as given by the request.
        context: How much of the history the member gets; None for the team's setting.
    """

    team: Team
    member: Member
    by: HandoffBy
    reason: str
    source: str
    at: datetime
    note: Note | None = None
    pin: Pin | None = None
    level: int = 0
    urgency: str = "medium"
    context: ContextPolicy | None = None


def person_wait_of(team: Team, now: datetime, level: int = 0) -> PersonWait:
    """Return the state of a session that begins to wait for a person, at that level of the escalation path."""
    following = team.level_after(level)
    return PersonWait(now, now + timedelta(seconds=following.after_s) if following else None, level)


def started(session: Session, name: str, team: Team, member: Member, reason: str, now: datetime) -> Session:
    """Return a new session with the member of the team."""
    person_wait = person_wait_of(team, now) if member.human else None
    assignment = TeamAssignment(
        name, member.name, now, (member.name,), reason=reason, person_wait=person_wait, begun=not member.human
    )
    session = _limited(_serving(session, assignment), team)
    return sessions.paused(session, PERSON, SessionState.WAITING) if member.human else session


def without_member(session: Session, name: str, team: Team, now: datetime) -> Session:
    """Return a new session that waits for a free member of the team."""
    session = _limited(_serving(session, TeamAssignment(name, "", now, begun=False)), team)
    return sessions.paused(session, NO_FREE_MEMBER, SessionState.WAITING)


def moved(session: Session, move: Move, now: datetime) -> Session:
    """Return the session with the next member; unchanged if it has ended or was handed over since.

    A waiting session that goes to an agent is resumed; its waiting runs are yet to be queued.
    """
    assignment = session.assignment
    if assignment is None or session.over or assignment.member != move.source:
        return session
    member, human = move.member, move.member.human
    note = _note_for(session, assignment, move)
    first = assignment.first_turn
    if assignment.member:
        first = routing.first_turn(move.team, session.turns, _context(move, note))
    after = replace(
        assignment,
        member=member.name,
        since=now,
        trail=(*assignment.trail, member.name)[-TRAIL:],
        hops=assignment.hops + (1 if assignment.member else 0),
        first_turn=first,
        runs=session.runs - session.pending,
        note=note,
        person_wait=person_wait_of(move.team, move.at, move.level) if human else None,
        reason=move.reason,
        begun=move.by == "member_free" and not human,
    )
    waited = session.state is SessionState.WAITING and session.pause_reason in (PERSON, NO_FREE_MEMBER)
    session = replace(
        _serving(session, after),
        agent=member.agent or session.agent,
        at_provider=replace(session.at_provider, held=None),
    )
    session = replace(session, terms=replace(session.terms, pin=move.pin))
    if human:
        return session if session.state is SessionState.PAUSED else _waiting(session)
    return sessions.resumed(session, now) if waited else session


def waiting_again(session: Session, team: Team, now: datetime) -> Session:
    """Return the session whose wait for its person begins anew, at the same level; unchanged if it is not idle."""
    wait = session.assignment.person_wait if session.assignment else None
    if wait is None or not wait.idle:
        return session
    return sessions.with_person_wait(session, person_wait_of(team, now, wait.level))


def initiated(session: Session, move: Move, run: Run | None, now: datetime) -> Sequence[Event]:
    """Return the event of a handoff's beginning; none for a session that waited for a free member."""
    if not move.source:
        return ()
    data: dict[str, Any] = {
        "team": session.assignment.team if session.assignment else "",
        "source": move.source,
        "target": move.member.name,
        "by": move.by,
        "urgency": move.urgency,
    }
    return [Event("handoff.initiated", data | ({"run_id": run.id} if run else {}), now)]


def begin(session: Session, run_id: str | None, now: datetime) -> tuple[Session, Sequence[Event]]:
    """Return the session after the member has begun with it, and the event; unchanged if it had begun before."""
    assignment = session.assignment
    if assignment is None or assignment.begun:
        return session, ()
    data = {
        "team": assignment.team,
        "target": assignment.member,
        "agent": "" if assignment.person_wait else session.agent,
    }
    event = Event("handoff.completed", data | ({"run_id": run_id} if run_id else {}), now)
    return _serving(session, replace(assignment, begun=True)), [event]


def assigned(session: Session, run: Run) -> Run:
    """Return the run, assigned to the agent that has its session now."""
    if session.assignment is None or run.agent == session.agent:
        return run
    return runs.assigned(run, session.agent)


def handed_over(
    session: Session, run: Run, move: Move, effort: Effort, now: datetime, failed: str = ""
) -> tuple[Session, Run, Sequence[Event]]:
    """Return session, run and events after an attempt that handed over; the run is queued for the next, or waits.

    Args:
        session: The session.
        run: The run.
        move: The handoff.
        effort: What the attempt did.
        now: The time.
        failed: Error code, if the attempt failed and that is the reason; else empty.
    """
    after = moved(session, move, now)
    if after is session:  # handed over by another request; the run follows
        return session, runs.handed_over(run, effort, now, failed=failed), ()
    run = runs.handed_over(run, effort, now, waits=move.member.human, failed=failed)
    events = initiated(after, move, run, now)
    if after.state is not session.state:
        events = [*events, state_event(after, now, after.pause_reason)]
    run = hopped(run, move, now, aim=after.agent)
    return after, run, [*events, *limited(run, move, now)]


def hopped(run: Run, move: Move, now: datetime, *, aim: str) -> Run:
    """Return the run with the hop to the member, assigned to its agent unless it is a person."""
    team = run.team or TeamRun("")
    spent = run.spend.cost_micro_usd - sum(hop.cost_micro_usd for hop in team.hops)
    agent = run.agent if move.source else ""
    hop = Hop(now, move.source, move.member.name, move.by, move.reason, max(0, spent), agent)
    team = replace(team, hops=(*team.hops, hop), failures=0)
    run = replace(run, dispatch=replace(run.dispatch, team=team, awaits=(), for_approvals=False))
    return run if move.member.human else runs.assigned(run, aim)


def limited(run: Run, move: Move, now: datetime) -> Sequence[Event]:
    """Return the event that a run was handed over as often as its team allows; none before that.

    Args:
        run: The run, with its last hop.
        move: The last handoff.
        now: The time.
    """
    hops = run.team.hops if run.team else ()
    others = [member.name for member in move.team.members if member is not move.member]
    if not hops or not move.source or any(routing.may_go_on(move.team, hops[0].source, hops, name) for name in others):
        return ()
    data = {"run_id": run.id, "team": run.team.team if run.team else "", "target": move.member.name, "hops": len(hops)}
    return [Event("handoff.limit_reached", data, now)]


def summarizer_of(session: Session, run: Run) -> str:
    """Return the agent that is to sum the session up before the run is answered; empty if none is.

    Only the first run of the member that took the session over is preceded by a summary, before the member's own model
    calls. Until it is written, every attempt at that run tries.
    """
    assignment = session.assignment
    if (
        assignment is None
        or assignment.note is None
        or run.number > assignment.runs + 1
        or run.costs.progress is not None
    ):
        return ""
    return assignment.note.summarizer


def summed_up(session: Session, summary: str, turns: int) -> Session:
    """Return the session with the summary of its first `turns` messages; unchanged if none is wanted any more."""
    assignment = session.assignment
    if assignment is None or assignment.note is None or not assignment.note.summarizer:
        return session
    note = replace(assignment.note, summary=summary, summarizer="")
    return _serving(session, replace(assignment, note=note, first_turn=turns))


def _note_for(session: Session, assignment: TeamAssignment, move: Move) -> Note | None:
    """Return the note for the next member.

    If the team wants a summary and the note has none, it is that of the member before, provided that nothing was said
    since; else the team's summarizer is to write one.
    """
    note, human = move.note, move.member.human
    if note is None or note.summary or human or not session.turns or _wanted_context(move) != "summary":
        return note
    if assignment.note is not None and assignment.note.summary and assignment.first_turn == session.turns:
        return replace(note, summary=assignment.note.summary)
    return replace(note, summarizer=move.team.handoff.summarizer or "")


def _wanted_context(move: Move) -> ContextPolicy:
    return move.context or move.team.handoff.context


def _context(move: Move, note: Note | None) -> ContextPolicy:
    """Return how much of the history the member gets; while a summary is missing, the last runs."""
    context = _wanted_context(move)
    return "last" if context == "summary" and (note is None or not note.summary) else context


def _limited(session: Session, team: Team) -> Session:
    limits = session.terms.limits
    if limits.idle_timeout_s is not None:
        return session
    limits = replace(limits, idle_timeout_s=float(team.idle_timeout_s))
    return replace(session, terms=replace(session.terms, limits=limits))


def _serving(session: Session, assignment: TeamAssignment) -> Session:
    return replace(session, terms=replace(session.terms, assignment=assignment))


def _waiting(session: Session) -> Session:
    return sessions.paused(session, PERSON, SessionState.WAITING)
