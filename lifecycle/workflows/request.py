"""A request to run a workflow, as it is asked for over HTTP and as it comes on the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import ConfigDict, Field, ValidationError

from kernel import ids
from kernel.errors import AppError, InvalidInput
from kernel.strict_json import parse_json
from kernel.validation import NO_SUCH_FIELD, NullsAsAbsent, unknown_fields, wrong_places
from lifecycle.configuration.kinds import Kind, item_name
from lifecycle.conversations.priority import Priority
from lifecycle.conversations.submission import MetadataKey, MetadataValue, RunRequest, check


class WorkflowRequest(NullsAsAbsent):
    """What a caller asks of a workflow.

    Attributes:
        input: The text that the prompts of its steps take in; not blank.
        user_id: Who asks; None for nobody in particular.
        metadata: At most 16 strings that come back with it, and with the runs of its steps.
        priority: Which queue the runs of its steps travel on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input: str
    user_id: str | None = None
    metadata: Mapping[MetadataKey, MetadataValue] = Field(default={}, max_length=16)
    priority: Priority = Priority.NORMAL

    def checked(self, max_input_bytes: int) -> WorkflowRequest:
        """Return the request once what the types cannot say is checked.

        Raises:
            TooLarge: The input is over the limit (UTF-8 bytes).
            InvalidInput: The input is blank, or the user's id is not valid.
        """
        try:
            check(RunRequest(query=self.input, user_id=self.user_id), max_input_bytes)
        except InvalidInput as error:
            fields = {place.replace("/query", "/input"): said for place, said in error.fields.items()}
            raise type(error)(error.detail.replace("query", "input"), code=error.code, fields=fields) from None
        return self


class WorkflowMessage(WorkflowRequest):
    """A workflow request with its ids: the body of another producer's queue message, version 1.

    Attributes:
        v: Version of this format.
        workspace: Workspace of the workflow.
        workflow: The workflow.
        run_id: The workflow run; the message's MessageId stands in for it when it is left out.
        session_id: The message's SessionId; the runs of steps have sessions of their own.
    """

    v: Literal[1] = 1
    workspace: str = "default"
    workflow: str
    run_id: str
    session_id: str

    @property
    def request(self) -> WorkflowRequest:
        """The request as the caller made it."""
        return WorkflowRequest.model_validate(self.model_dump(include=set(WorkflowRequest.model_fields)))

    def to_json(self) -> str:
        """Return the message body."""
        return self.model_dump_json(exclude_unset=True)


def parse_workflow_message(
    body: bytes,
    *,
    message_id: str | None,
    session_id: str | None,
    sequence_number: int,
    priority: Priority,
    max_input_bytes: int,
) -> WorkflowMessage | None:
    """Return what a queue message asks of a workflow; None where it is about none, as most are.

    Args:
        body: The message's body.
        message_id: Its MessageId; the idempotency key unless the body has a `run_id`.
        session_id: Its SessionId.
        sequence_number: Its number in the queue; stands in for a missing MessageId, being the same at redelivery.
        priority: That of the queue, which the runs of steps travel on unless the body says another one.
        max_input_bytes: Limit of the input.

    Raises:
        InvalidInput: It names a workflow and is no valid request; the detail repeats nothing of it.
    """
    try:
        values = parse_json(body)
    except ValueError:
        return None
    if not isinstance(values, dict) or "workflow" not in values:
        return None
    values = {name: value for name, value in cast("dict[str, Any]", values).items() if value is not None}
    if session_id is None or values.setdefault("session_id", session_id) != session_id:
        raise InvalidInput("The body's session_id is not the message's SessionId.", code="invalid_message")
    values.setdefault("priority", priority.value)
    values.setdefault("run_id", message_id or f"{priority}-sequence-{sequence_number}")
    try:
        message = WorkflowMessage.model_validate(values)
        ids.workspace_name(message.workspace)
        item_name(Kind.WORKFLOW, message.workflow)
        run_id = ids.run_id(message.workspace, message.run_id)
        message.checked(max_input_bytes)
    except ValidationError as error:
        wrong = [f"{place} ({what})" for place, what in wrong_places(error).items() if what != NO_SUCH_FIELD]
        found = [
            f"The body is not valid: {', '.join(wrong[:5])}." if wrong else "",
            unknown_fields(error, WorkflowMessage),
        ]
        raise InvalidInput(" ".join(filter(None, found)), code="invalid_message") from None
    except AppError as error:
        raise InvalidInput(error.detail, code="invalid_message") from None
    return message.model_copy(update={"run_id": run_id})
