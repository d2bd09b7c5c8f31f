"""Decides what to do with a run when its message arrives, by its session's state.

Runs of a session on hold are kept as rows, without messages, and queued again in order when the session is resumed.
Each resumption has a number, which its messages carry (`call`): a message with an older number is stale and is ignored,
so that runs stay in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from kernel.errors import Conflict
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.run import Run, RunState
from lifecycle.conversations.session import MAX_DURATION, Session, SessionState
from lifecycle.conversations.session_updates import outcome, state_event

if TYPE_CHECKING:
    from kernel.journal import Event
    from lifecycle.conversations.run_request import Submission
    from lifecycle.conversations.session_store import ConversationChange, StoredConversation

SESSION_EXPIRED = "session_expired"
"""Error code of a run whose session ended before it could start."""

_EARLY = timedelta(seconds=2)
"""How early the message of a retried run may arrive and still be run, because clocks differ."""
_WRONG_QUEUE = "Its session has {} priority: its messages go to the queue of that."
_ID_REUSED = "The run id was used for another request."


class DispatchDecision(StrEnum):
    """What to do with a run whose message has arrived."""

    RUN = "run"
    KEEP = "keep"  # its session is on hold
    EXPIRE = "expire"  # its session has ended, or lasted too long
    FORGET = "forget"  # another message will run it, or the run does not exist any more
    PAUSE = "pause"  # it is not due yet: schedule its message for then
    AGAIN = "again"  # an earlier attempt has to be recorded first


def misuse(submission: Submission, stored: StoredConversation) -> str | None:
    """Return why the message can never be run; None if it can.

    Args:
        submission: The message.
        stored: Its session and its run as stored.
    """
    run, session = stored.run, stored.session
    if session is not None and session.priority is not submission.priority:
        return _WRONG_QUEUE.format(session.priority.value)
    if run is None:
        return None
    team = run.team
    same_target = run.agent == submission.agent if team is None else submission.team in (None, team.team)
    return None if same_target and submission.query in (None, run.query) else _ID_REUSED


def may_have_overtaken(stored: StoredConversation) -> bool:
    """Return whether a run accepted before this one may be unfinished although this one's message arrived first.

    Messages are sent after runs are accepted, so a later run's message can arrive first. Runs of a session on hold are
    sent in order when it is resumed.
    """
    session, run = stored.session, stored.run
    if session is None or run is None or run.finished or session.on_hold or session.over:
        return False
    return session.runs - session.pending < run.number - 1


def decide(session: Session, run: Run, resumption: int, now: datetime) -> DispatchDecision:
    """Return what to do with a run that is not finished and that no worker holds.

    Args:
        session: Its session.
        run: The run.
        resumption: Number of the resumption that sent the message; 0 for a submission.
        now: The current time.
    """
    if session.state is SessionState.ERASED:
        return DispatchDecision.FORGET
    if session.over or sessions.outlived(session, now):
        return DispatchDecision.EXPIRE
    if resumption < run.resumption:
        return DispatchDecision.FORGET  # also on hold: the later message was sent
    if session.retry is not None and not session.stopped:
        if run.id != session.retry.run_id:
            return DispatchDecision.KEEP
        return DispatchDecision.RUN if session.retry.at <= now + _EARLY else DispatchDecision.PAUSE
    assignment = session.assignment
    if assignment is not None and assignment.person_wait is not None:
        return DispatchDecision.KEEP  # a person answers it
    resumed = session.resuming and resumption == session.resumes
    begun = run.state is RunState.RUNNING and not session.stopped  # its worker died; what was kept follows it
    if session.on_hold and not resumed and not begun:
        return DispatchDecision.KEEP
    return DispatchDecision.RUN


def kept(session: Session, run: Run, now: datetime) -> ConversationChange | None:
    """Return the change that keeps the run waiting until its session is resumed; None if it waits already."""
    if run.state is RunState.WAITING:
        return None
    return outcome(session, run, runs.deferred(run), (), (), now)


def expired(session: Session, run: Run, now: datetime) -> ConversationChange:
    """Return the change that ends the run because its session is over, and also ends the session if it is open."""
    noted: Sequence[Event] = ()
    if not session.over:
        session = sessions.ended(session, MAX_DURATION, now)
        noted = [state_event(session, now, MAX_DURATION)]
    return outcome(session, run, runs.lost(run, too_late(session), now), noted, (), now)


def too_late(session: Session) -> Conflict:
    """Return the error for a run of an ended session."""
    msg = f"Its session ended before it could start ({session.end_reason})."
    return Conflict(msg, code=SESSION_EXPIRED)
