"""Changes that a run's step makes in its session: counters, spend, history and events. Pure rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from kernel.journal import Event
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.client_tool_values import results_text
from lifecycle.conversations.run import APPROVAL_NEEDED, Run, RunState, Stage
from lifecycle.conversations.run_transitions import Answer, user_message
from lifecycle.conversations.session import (
    APPROVAL,
    BUDGET,
    FAILING,
    MAX_TURNS,
    ProviderConversation,
    Session,
    SessionState,
)
from lifecycle.conversations.session_store import ConversationChange, Turn
from llmops.facts.attempt_fact import Ending

_ENDS_OF_STREAMS = {
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
    RunState.QUEUED: "failed",
}


STEP_ENDED = "step_ended"
"""Why a session ended in which a team was asked for a step of a workflow."""


def turns_of(run: Run, answer: Answer, now: datetime) -> list[Turn]:
    """Return the history messages of an answered run: results of tool calls, the query, and the answer."""
    given, asked = run.input.client_tools, user_message(run)
    turns = [Turn("tool", results_text(given), run.id, now)] if given and given.results else []
    turns += [Turn("user", asked, run.id, now)] if asked.strip() else []
    return [*turns, Turn("assistant", answer.text, run.id, now, tool_calls=answer.calls)]


def stage_event(run: Run, stage: Stage, now: datetime, code: str | None = None) -> Event:
    """Return the event that a run enters a stage."""
    data = {"run_id": run.id, "stage": stage.value, "attempt": run.attempt}
    return Event("run.stage", data | ({"code": code} if code else {}), now)


def state_event(session: Session, now: datetime, reason: str | None = None) -> Event:
    """Return the event that a session enters its state."""
    return Event("session.state_changed", {"state": session.state.value} | ({"reason": reason} if reason else {}), now)


def session_ended(session: Session, reason: str, now: datetime) -> ConversationChange:
    """Return the change that ends a session for the reason."""
    after = sessions.ended(session, reason, now)
    return ConversationChange(after, events=[state_event(after, now, reason)])


def outcome(
    session: Session,
    before: Run,
    after: Run,
    noted: Sequence[Event],
    turns: Sequence[Turn],
    now: datetime,
    held: ProviderConversation | None = None,
) -> ConversationChange:
    """Return the change of a run and its session between two states of the run: counters, spend, history and events.

    When an attempt ends, the session's provider conversation becomes `held`: an attempt that failed or died may have
    added unknown messages to the former one. In a session that is being erased nothing is added.
    """
    if session.state is SessionState.ERASED:
        return ConversationChange(run=after)
    superseded = after.attempt > before.attempt
    attempt_ended = before.state is RunState.RUNNING and (after.state is not RunState.RUNNING or superseded)
    events = list(noted)
    if attempt_ended and before.stream:
        at = 0 if superseded else len(events)
        events.insert(at, _stream_ended(before, after, now))
    if after.stage is not None and after.finished:
        events.append(stage_event(after, after.stage, now, after.error.code if after.error else None))
    elif after.state is RunState.QUEUED and after.error is not None:
        events.append(
            Event("run.retrying", {"run_id": after.id, "attempt": after.attempt, "code": after.error.code}, now)
        )
    elif after.state is RunState.WAITING and before.state is not RunState.WAITING:
        reason = after.error.code if after.error else session.pause_reason or ("retry" if session.retry else None)
        details = {"run_id": after.id, "reason": reason} | ({} if after.error else {"held": True})
        events.append(Event("run.waiting", details, now))
        asked = [ident for ident in after.dispatch.awaits if ident not in before.dispatch.awaits]
        data = {"run_id": after.id, "attempt": after.attempt}
        events += [Event("approval.requested", data | {"approval_id": ident}, now) for ident in asked]
    if not events and after.spend == before.spend and not turns:
        return ConversationChange(run=after)
    others = session.pending - 1
    if session.retry is not None and session.retry.run_id == after.id and after.state is not RunState.QUEUED:
        session = sessions.resumed_run(session, others)
    elif attempt_ended and after.state is RunState.QUEUED and after.dispatch.not_before is not None:
        session = sessions.retrying(session, after.id, after.dispatch.not_before)
    given_up = before.state is RunState.WAITING and after.finished and before.attempt > 0
    if attempt_ended or given_up:  # its conversation has tool calls that stay unanswered
        session = replace(session, at_provider=replace(session.at_provider, held=held))
    if after.finished:
        session = replace(session.counting(pending=-1), last_activity=now)
        session = sessions.answerless(session) if before.state is not RunState.RUNNING else session
    session = replace(session, spend=session.spend + (after.spend - before.spend))
    session, changed = _with_limits_applied(session, after, len(turns), now)
    return ConversationChange(session, after, turns, [*events, *changed])


def _with_limits_applied(session: Session, run: Run, turns: int, now: datetime) -> tuple[Session, Sequence[Event]]:
    """Return the session after applying its own limits to the run's end, with the events of that."""
    done = run.state in (RunState.SUCCEEDED, RunState.CANCELLED)
    if done and run.workflow_run_id is not None and session.assignment is not None and not session.over:
        session = sessions.ended(session, STEP_ENDED, now)  # its member has room again
        return session, [state_event(session, now, STEP_ENDED)]
    if run.state is RunState.SUCCEEDED:
        session = replace(session, counters=replace(session.counters, failures=0))
        most = session.limits.max_turns
        if most is not None and session.turns + turns + 2 > most and not session.over:
            session = sessions.ended(session, MAX_TURNS, now)
            return session, [state_event(session, now, MAX_TURNS)]
        if session.state is SessionState.STARTED:
            session = replace(session, state=SessionState.ACTIVE)
            return session, [state_event(session, now)]
    if run.state is RunState.FAILED:
        session = replace(session, counters=replace(session.counters, failures=session.failures + 1))
        most = session.limits.max_failures
        if most is not None and session.failures >= most and not (session.over or session.on_hold):
            session = sessions.paused(session, FAILING)
            return session, [state_event(session, now, FAILING)]
    if run.state is RunState.WAITING and run.error is not None and _may_wait(session):
        why = APPROVAL if run.error.code == APPROVAL_NEEDED else BUDGET
        session = sessions.paused(session, why, SessionState.WAITING)
        return session, [state_event(session, now, why)]
    return session, ()


def _may_wait(session: Session) -> bool:
    return not session.over and session.state is not SessionState.PAUSED


def _stream_ended(before: Run, after: Run, now: datetime) -> Event:
    """Return the event that ends a streamed attempt; followers keep its text only if it completed."""
    handed_over = after.last.ending is Ending.HANDED_OVER
    superseded = after.attempt > before.attempt or after.state is RunState.WAITING or handed_over
    how = "superseded" if superseded else _ENDS_OF_STREAMS[after.state]
    code = {"code": after.error.code} if after.error and not superseded else {}
    return Event("run.stream_ended", {"run_id": before.id, "attempt": before.attempt, "outcome": how} | code, now)
