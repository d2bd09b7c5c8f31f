"""What becomes of a run whose message has come: its session decides whether it is its turn.

Runs of a session on hold are kept as rows, without messages, and queued again in order when the session goes on. That
resumption has a number, which the messages that it sends carry (`call`): a message of an earlier one is stale
and is ignored, so that no run can get ahead of another that was kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from kernel.errors import Conflict
from kernel.journal import Event
from lifecycle.conversations import run_rules as runs
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import MAX_DURATION, Session, SessionState
from lifecycle.conversations.store import ConversationChange, StoredConversation
from lifecycle.conversations.submission import Submission
from lifecycle.conversations.transitions import outcome, state_event

SESSION_EXPIRED = "session_expired"
"""Error code of a run whose session ended before its turn came."""

_EARLY = timedelta(seconds=2)
"""How early the message of a retried run may come and still be run: clocks differ."""
_WRONG_QUEUE = "Its session has {} priority: its messages go to the queue of that."
_ID_REUSED = "The run id was used for another request."


class DispatchDecision(StrEnum):
    """What is to be done with a run whose message has come."""

    RUN = "run"
    KEEP = "keep"  # its session is on hold
    EXPIRE = "expire"  # its session has ended, or lasted too long
    FORGET = "forget"  # another message stands for it, or nothing is left of it
    PAUSE = "pause"  # it is not due yet: its message is to be sent for later
    AGAIN = "again"  # what earlier attempts did is to be recorded first


def misuse(submission: Submission, stored: StoredConversation) -> str | None:
    """Return why the message can never be run, whatever else happens; None when it can.

    Args:
        submission: What the message says.
        stored: Its session and its run as they are.
    """
    run, session = stored.run, stored.session
    if session is not None and session.priority is not submission.priority:
        return _WRONG_QUEUE.format(session.priority.value)
    if run is None:
        return None
    team = run.team
    whom = run.agent == submission.agent if team is None else submission.team in (None, team.team)
    return None if whom and submission.query in (None, run.query) else _ID_REUSED


def may_have_overtaken(stored: StoredConversation) -> bool:
    """Return whether a run accepted before this one may still be unfinished although this one's message has come.

    Messages are sent after runs are accepted, so the later run's can be first. Runs of a session that is on hold are
    sent in order when it goes on.
    """
    session, run = stored.session, stored.run
    if session is None or run is None or run.finished or session.on_hold or session.over:
        return False
    return session.runs - session.pending < run.number - 1


def decide(session: Session, run: Run, call: int, now: datetime) -> DispatchDecision:
    """Return what is to be done with a run that is not finished and that nobody is running.

    Args:
        session: Its session.
        run: The run.
        call: The resumption that sent the message; 0 for a submission.
        now: The current time.
    """
    if session.state is SessionState.ERASED:
        return DispatchDecision.FORGET
    if session.over or sessions.outlived(session, now):
        return DispatchDecision.EXPIRE
    if call < run.call:
        return DispatchDecision.FORGET  # also where the session is on hold: the later message is there, or has been
    if session.retry is not None and not session.stopped:
        if run.id != session.retry.run_id:
            return DispatchDecision.KEEP
        return DispatchDecision.RUN if session.retry.at <= now + _EARLY else DispatchDecision.PAUSE
    served = session.served
    if served is not None and served.desk is not None:
        return DispatchDecision.KEEP  # a person answers it
    called = session.resuming and call == session.resumes
    if session.on_hold and not called:
        return DispatchDecision.KEEP
    return DispatchDecision.RUN


def kept(session: Session, run: Run, now: datetime) -> ConversationChange | None:
    """Return the change that keeps the run until its session goes on; None where that is done."""
    if run.state is RunState.WAITING:
        return None
    return outcome(session, run, runs.deferred(run), (), (), now)


def expired(session: Session, run: Run, now: datetime) -> ConversationChange:
    """Return the change that ends the run because its session is over, and ends the session if it is still open."""
    noted: Sequence[Event] = ()
    if not session.over:
        session = sessions.ended(session, MAX_DURATION, now)
        noted = [state_event(session, now, MAX_DURATION)]
    return outcome(session, run, runs.lost(run, too_late(session), now), noted, (), now)


def too_late(session: Session) -> Conflict:
    """Return why a run of an ended session is not run."""
    msg = f"Its session ended before its turn came ({session.end_reason})."
    return Conflict(msg, code=SESSION_EXPIRED)
