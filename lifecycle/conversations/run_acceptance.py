"""Rules of accepting a run into its session, and of accepting it again. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from kernel.journal import Event
from kernel.tracing import traceparent
from lifecycle.conversations import run_transitions as runs
from lifecycle.conversations import session_rules as sessions
from lifecycle.conversations.client_tool_values import check_allowed
from lifecycle.conversations.run import Dispatch, Run, RunInput, Times
from lifecycle.conversations.session_change import ConversationChange, StoredConversation
from lifecycle.conversations.session_updates import state_event

if TYPE_CHECKING:
    from lifecycle.conversations.run_request import RunRequest
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.team_assignment import TeamRun
    from lifecycle.registry.catalog import Agent


def accepted(
    agent: Agent,
    request: RunRequest,
    run_id: str,
    session: Session,
    team: TeamRun | None,
    now: datetime,
    *,
    new: bool,
    step_of: str | None = None,
) -> ConversationChange:
    """Return the change that accepts the run: queued, or waiting if its session is on hold.

    Args:
        agent: The agent asked.
        request: What is asked.
        run_id: The run's id.
        session: Its session.
        team: The team's state for this run; None if no team was asked.
        now: The time.
        new: Whether the run starts the session.
        step_of: Id of the workflow run that it is a step of; None for none.
    """
    events: list[Event] = [state_event(session, now, session.pause_reason)] if new else []
    sessions.check_room(session)
    run = Run(
        run_id,
        agent.workspace,
        session.id,
        agent.name,
        RunInput(
            request.query,
            agent.declaration.revision,
            request.user_id,
            request.metadata,
            request.expected_topics,
            request.context,
            request.stream,
            request.callback,
            step_of,
            request.client_tools,
        ),
        Times(now),
        Dispatch(
            session.priority,
            session.runs + 1,
            traceparent=traceparent(),
            team=replace(team, reason=team.reason or _reason(session)) if team else None,
        ),
    )
    if session.on_hold:
        run = runs.deferred(run)
        events.append(Event("run.waiting", {"run_id": run_id, "reason": session.pause_reason, "held": True}, now))
    else:
        events.append(Event("run.queued", {"run_id": run_id}, now))
    session = replace(session.counting(runs=1, pending=1), last_activity=now)
    session = sessions.asked(session)
    return ConversationChange(session, run, events=events)


def check_tools(agent: Agent, request: RunRequest, *, of_team: bool) -> None:
    """Check that the agent accepts the client tools of the request.

    Raises:
        InvalidInput: It accepts none, or not these.
    """
    spec = agent.declaration.spec
    own = [tool for tool in spec.tools if isinstance(tool, str)] + [f"{one.server_label}_*" for one in spec.mcp_servers]
    check_allowed(request.client_tools, allowed=spec.client_tools and not of_team, taken=own)


def _reason(session: Session) -> str:
    assignment = session.assignment
    return (
        f"{assignment.member} has the conversation"
        if assignment and assignment.member
        else "the conversation waits for a free member"
    )


def resubmitted(stored: StoredConversation, run: Run) -> ConversationChange | None:
    """Return the change that sends a run's message again, if it may not be queued; else None."""
    if stored.session is None:
        return None
    if runs.needs_message(run):
        return ConversationChange(run=runs.sending(run))
    if not run.never_queued:
        return None
    sessions.check_usable(stored.session, run.agent, run.user_id, run.team.team if run.team else "")
    event = Event("run.queued", {"run_id": run.id}, run.created_at)
    again = runs.sending(runs.requeued(run, run.redriven))
    again = runs.deferred(again) if stored.session.on_hold else again
    return ConversationChange(stored.session.counting(pending=1), again, events=[event])
