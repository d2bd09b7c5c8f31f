"""Rules of who may use a session, when it ends, and its transitions; pure.

`lifecycle.conversations.session` has the values.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.errors import Conflict, NotFound
from lifecycle.conversations.session import (
    IDLE_TIMEOUT,
    MAX_DURATION,
    End,
    Pause,
    Receipt,
    Retry,
    Session,
    SessionState,
    SessionTerms,
)

if TYPE_CHECKING:
    from lifecycle.conversations.team_assignment import PersonWait


def check_usable(session: Session, agent: str, user_id: str | None, team: str = "") -> None:
    """Check that a run with this agent or team, for this user, may be submitted to the session.

    Raises:
        NotFound: It belongs to another user; reported as if it did not exist.
        Conflict: It is with another agent or team, has ended or was erased.
    """
    if session.state is SessionState.ERASED:
        msg = f"Session {session.id!r} was erased; its id is not used again."
        raise Conflict(msg, code="session_erased")
    if session.user_id is not None and user_id != session.user_id:
        msg = f"There is no session {session.id!r}."
        raise NotFound(msg, code="session_not_found")
    assignment = session.assignment
    if (assignment.team if assignment else "") != team:
        msg = f"Session {session.id!r} is with {'a' if assignment else 'no'} team; ask whom it is with."
        raise Conflict(msg, code="session_agent_mismatch")
    if session.agent != agent and assignment is None:
        msg = f"Session {session.id!r} is with another agent; a session keeps its agent."
        raise Conflict(msg, code="session_agent_mismatch")
    if session.state is SessionState.ENDED:
        msg = f"Session {session.id!r} has ended ({session.end_reason}); start a new one."
        raise Conflict(msg, code="session_ended")


def check_room(session: Session) -> None:
    """Check that the history has space for one more run, counting those not finished yet.

    Raises:
        Conflict: It has not; a run that fails frees its space.
    """
    most = session.limits.max_turns
    if most is not None and session.turns + 2 * (session.pending + 1) > most:
        msg = f"Session {session.id!r} takes {most} messages; the runs that are not finished will fill it."
        raise Conflict(msg, code="session_full")


def idle_timeout(session: Session, usual: timedelta) -> timedelta:
    """Return how long a session may be without activity; `usual` unless it has a limit of its own."""
    own = session.limits.idle_timeout_s
    return usual if own is None else timedelta(seconds=own)


def is_idle(session: Session, now: datetime, usual: timedelta) -> bool:
    """Return whether an open session had no activity for its idle timeout; time on hold does not count."""
    return not (session.over or _held(session)) and session.last_activity + idle_timeout(session, usual) <= now


def _held(session: Session) -> bool:
    """Return whether a session is on hold for something; one that waits for a person with nothing to answer is not."""
    wait = session.assignment.person_wait if session.assignment else None
    return session.on_hold and not (session.state is SessionState.WAITING and wait is not None and wait.idle)


def outlived(session: Session, now: datetime) -> bool:
    """Return whether an open session has reached its maximum duration."""
    most = session.limits.max_duration_s
    return not session.over and most is not None and session.created_at + timedelta(seconds=most) <= now


def overdue(session: Session, now: datetime, usual: timedelta) -> str | None:
    """Return the reason to end the session now; None for none."""
    if outlived(session, now):
        return MAX_DURATION
    return IDLE_TIMEOUT if is_idle(session, now, usual) else None


def next_look(session: Session, now: datetime, usual: timedelta) -> datetime:
    """Return when an open session has to be checked again."""
    timeout, most = idle_timeout(session, usual), session.limits.max_duration_s
    idle = max(session.last_activity, now if _held(session) else session.last_activity) + timeout
    return idle if most is None else min(idle, session.created_at + timedelta(seconds=most))


def paused(session: Session, reason: str, state: SessionState = SessionState.PAUSED) -> Session:
    """Return the session, put on hold for the reason."""
    return replace(session, state=state, pause=Pause(reason, session.resumes))


def resumed(session: Session, now: datetime) -> Session:
    """Return the session as resumed; its waiting runs are yet to be queued."""
    return replace(
        session,
        state=SessionState.ACTIVE if session.turns else SessionState.STARTED,
        pause=Pause(None, session.resumes + 1, session.pending > 0),
        counters=replace(session.counters, failures=0),
        last_activity=now,
    )


def retrying(session: Session, run_id: str, at: datetime) -> Session:
    """Return the session, waiting for the next attempt of a run."""
    return (
        session
        if session.stopped or session.over
        else replace(session, pause=replace(session.pause, retry=Retry(run_id, at)))
    )


def resumed_run(session: Session, others: int) -> Session:
    """Return the session after the run that it waited for continued or ended; `others` counts its unfinished runs."""
    pause = Pause(session.pause_reason, session.resumes + 1, session.resuming or others > 0)
    return replace(session, pause=pause)


def erasing(session: Session, now: datetime) -> Session:
    """Return the session as being erased: it accepts nothing more, and its content will be removed."""
    receipt = Receipt(now, runs=session.runs, messages=session.turns, events=session.events)
    return replace(
        session,
        state=SessionState.ERASED,
        end=session.end or End(None, now),
        terms=replace(session.terms, preferences=None, assignment=None),
        pause=Pause(resumes=session.resumes),
        at_provider=replace(session.at_provider, held=None),
        receipt=receipt,
    )


def erased(session: Session, receipt: Receipt) -> Session:
    """Return the tombstone of an erased session, with the receipt."""
    return Session(
        session.workspace,
        session.id,
        session.agent,
        None,
        session.created_at,
        receipt.requested_at,
        state=SessionState.ERASED,
        end=End(None, session.ended_at) if session.ended_at else None,
        receipt=receipt,
        terms=SessionTerms(priority=session.priority),
    )


def waits_for_person(session: Session) -> bool:
    """Return whether a session waits for a person: no one has claimed it, and it is not idle (`PersonWait.idle`)."""
    assignment = session.assignment
    if session.over or assignment is None or assignment.person_wait is None:
        return False
    return not (assignment.person_wait.claimed_by or assignment.person_wait.idle)


def with_person_wait(session: Session, wait: PersonWait) -> Session:
    """Return the session with another state of waiting for a person; unchanged if no team serves it."""
    assignment = session.assignment
    if assignment is None:
        return session
    return replace(session, terms=replace(session.terms, assignment=replace(assignment, person_wait=wait)))


def answerless(session: Session) -> Session:
    """Return the session after a run ended that no worker had; idle if it was the last and nobody has claimed it."""
    wait = session.assignment.person_wait if session.assignment else None
    if wait is None or wait.claimed_by or session.pending:
        return session
    return with_person_wait(session, replace(wait, idle=True))


def asked(session: Session) -> Session:
    """Return the session after something was asked in it: it is not idle any more."""
    wait = session.assignment.person_wait if session.assignment else None
    return with_person_wait(session, replace(wait, idle=False)) if wait is not None and wait.idle else session


def settled(session: Session) -> Session:
    """Return a resumed session once all waiting runs are queued."""
    return replace(session, pause=replace(session.pause, resuming=False))


def ended(session: Session, reason: str, now: datetime) -> Session:
    """Return the session as ended for the reason."""
    return replace(session, state=SessionState.ENDED, end=End(reason, now), pause=Pause(resumes=session.resumes))
