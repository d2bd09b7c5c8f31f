"""A request to run a workflow, in its HTTP form and as a queue message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import ConfigDict, Field, ValidationError

from kernel import ids
from kernel.errors import AppError, InvalidInput
from kernel.strict_json import parse_json
from kernel.validation import NO_SUCH_FIELD, NullsAsAbsent, unknown_fields, wrong_places
from lifecycle.configuration.kinds import Kind, item_name
from lifecycle.conversations.run_request import MetadataKey, MetadataValue, RunRequest, check
from lifecycle.conversations.session_priority import Priority


class WorkflowRequest(NullsAsAbsent):
    """A request to run a workflow.

    Attributes:
        input: The text that prompts insert as `{input}`; not blank.
        user_id: Who asks; None if not given.
        metadata: At most 16 strings, returned with it and with the runs of its steps.
        priority: Priority of the runs of its steps, which determines their queue.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    input: str
    user_id: str | None = None
    metadata: Mapping[MetadataKey, MetadataValue] = Field(default={}, max_length=16)
    priority: Priority = Priority.NORMAL

    def checked(self, max_input_bytes: int) -> WorkflowRequest:
        """Return the request after checking what the types cannot express.

        Raises:
            TooLarge: The input exceeds the limit (UTF-8 bytes).
            InvalidInput: The input is blank, or the user's id is not valid.
        """
        try:
            check(RunRequest(query=self.input, user_id=self.user_id), max_input_bytes)
        except InvalidInput as error:
            fields = {place.replace("/query", "/input"): fault for place, fault in error.fields.items()}
            raise type(error)(error.detail.replace("query", "input"), code=error.code, fields=fields) from None
        return self


class WorkflowMessage(WorkflowRequest):
    """A workflow request with its ids: the body of a producer's queue message, version 1.

    Attributes:
        v: Version of the message format.
        workspace: The workflow's workspace.
        workflow: The workflow.
        run_id: Id of the workflow run; the message's MessageId is used if left out.
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
    """Return the workflow request in a queue message; None for messages about runs.

    Args:
        body: The message's body.
        message_id: Its MessageId; used as idempotency key unless the body has a `run_id`.
        session_id: Its SessionId.
        sequence_number: Its number in the queue; used if there is no MessageId, as it is the same at redelivery.
        priority: The queue's priority, used for the runs of steps unless the body has another one.
        max_input_bytes: Limit of the input, in bytes.

    Raises:
        InvalidInput: It names a workflow but is not valid; the detail quotes nothing of it.
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
        wrong = [f"{place} ({fault})" for place, fault in wrong_places(error).items() if fault != NO_SUCH_FIELD]
        found = [
            f"The body is not valid: {', '.join(wrong[:5])}." if wrong else "",
            unknown_fields(error, WorkflowMessage),
        ]
        raise InvalidInput(" ".join(filter(None, found)), code="invalid_message") from None
    except AppError as error:
        raise InvalidInput(error.detail, code="invalid_message") from None
    return message.model_copy(update={"run_id": run_id})
