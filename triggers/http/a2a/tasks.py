"""Runs as tasks of the A2A protocol: a task is a run, a context is a session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    APIKeySecurityScheme,
    Artifact,
    HTTPAuthSecurityScheme,
    Message,
    Part,
    Role,
    SecurityRequirement,
    SecurityScheme,
    StringList,
    Task,
    TaskState,
    TaskStatus,
)
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError

from lifecycle.conversations.run import Run, RunState
from triggers.http.protocol_runs import Callee

TEXT = "text/plain"
ANSWER = "answer"
"""Id of the artifact that contains a run's answer."""
VERSIONS = ("1.0", "0.3")
_STATES = {
    RunState.QUEUED: TaskState.TASK_STATE_SUBMITTED,
    RunState.RUNNING: TaskState.TASK_STATE_WORKING,
    RunState.WAITING: TaskState.TASK_STATE_INPUT_REQUIRED,
    RunState.SUCCEEDED: TaskState.TASK_STATE_COMPLETED,
    RunState.FAILED: TaskState.TASK_STATE_FAILED,
    RunState.CANCELLED: TaskState.TASK_STATE_CANCELED,
}


def card(found: Callee, url: str, *, signed_in: bool) -> AgentCard:
    """Return the card of an agent.

    Args:
        found: The agent.
        url: Its address.
        signed_in: Whether callers authenticate with Microsoft Entra ID rather than with a function key.
    """
    if signed_in:
        scheme = SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer", bearer_format="JWT"))
    else:
        scheme = SecurityScheme(api_key_security_scheme=APIKeySecurityScheme(location="header", name="x-functions-key"))
    description = found.description or f"The agent {found.name}."
    return AgentCard(
        name=found.name,
        description=description,
        version=found.version,
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version=version) for version in VERSIONS
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=False),
        security_schemes={"caller": scheme},
        security_requirements=[SecurityRequirement(schemes={"caller": StringList(list=[])})],
        default_input_modes=[TEXT],
        default_output_modes=[TEXT],
        skills=[AgentSkill(id="ask", name="Ask", description=description, tags=["ask"])],
    )


def query_of(message: Message, accepted: Iterable[str]) -> str:
    """Return the text of a message.

    Raises:
        ContentTypeNotSupportedError: It contains something other than text, or accepts no text in return.
        InvalidParamsError: It is empty, or its role is not that of the user.
    """
    if message.role != Role.ROLE_USER:
        raise InvalidParamsError("The message's role must be that of the user.")
    if any(part.WhichOneof("content") not in ("text", None) for part in message.parts):
        raise ContentTypeNotSupportedError("An agent takes text; a part of the message is something else.")
    modes = list(accepted)
    if modes and not any(mode in (TEXT, "text", "text/*", "*/*", "text/markdown") for mode in modes):
        raise ContentTypeNotSupportedError("An agent answers with text/plain.")
    text = "\n".join(part.text for part in message.parts)
    if not text.strip():
        raise InvalidParamsError("The message has no text.")
    return text


def state_of(run: Run) -> TaskState:
    """Return the task state of a run; one that waits for another run of its session counts as submitted."""
    if run.state is RunState.WAITING and run.error is None:
        return TaskState.TASK_STATE_SUBMITTED
    return _STATES[run.state]


def status_of(run: Run) -> TaskStatus:
    """Return the status of a run; a message of the agent says why it failed or waits."""
    status = TaskStatus(state=state_of(run))
    status.timestamp.FromDatetime(run.finished_at or run.started_at or run.created_at)
    if run.error is not None and run.state in (RunState.FAILED, RunState.WAITING):
        notice = message_of(run, Role.ROLE_AGENT, run.error.detail, "status")
        notice.metadata.update({"code": run.error.code})
        status.message.CopyFrom(notice)
    return status


def task_of(run: Run, history: int | None = None, *, artifacts: bool = True) -> Task:
    """Return a run as a task.

    Args:
        run: The run.
        history: Most messages of the task to include; None for all, 0 for none.
        artifacts: Whether to include its answer.
    """
    task = Task(id=run.id, context_id=run.session_id, status=status_of(run))
    if history is None or history > 0:
        task.history.append(message_of(run, Role.ROLE_USER, run.query, "question"))
    if run.answer is not None and artifacts:
        task.artifacts.append(artifact_of(run.answer))
    spend = run.spend
    usage: dict[str, Any] = {
        "calls": spend.calls,
        "input_tokens": spend.input_tokens,
        "output_tokens": spend.output_tokens,
        "cost_micro_usd": spend.cost_micro_usd,
    }
    task.metadata.update({"usage": usage} | ({"model": run.model} if run.model else {}))
    return task


def artifact_of(text: str) -> Artifact:
    """Return an answer, or a part of it, as an artifact."""
    return Artifact(artifact_id=ANSWER, name=ANSWER, parts=[Part(text=text, media_type=TEXT)])


def message_of(run: Run, role: Role, text: str, what: str) -> Message:
    """Return a message of a task, with an id derived from the run's."""
    return Message(
        message_id=f"{run.id}-{what}",
        task_id=run.id,
        context_id=run.session_id,
        role=role,
        parts=[Part(text=text, media_type=TEXT)],
    )
