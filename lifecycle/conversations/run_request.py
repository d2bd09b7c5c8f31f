"""A request to run an agent, in its HTTP form and as a queue message."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import ConfigDict, Field, StrictBool, StringConstraints, ValidationError

from kernel import ids
from kernel.errors import AppError, InvalidInput, TooLarge
from kernel.strict_json import parse_json
from kernel.validation import NO_SUCH_FIELD, NullsAsAbsent, unknown_fields, wrong_places
from lifecycle.conversations import client_tool_values as tools
from lifecycle.conversations.client_tool_values import ClientTools
from lifecycle.conversations.message_headers import NO_HEADERS, MessageHeaders, NoCloudEvent, opened
from lifecycle.conversations.run_callbacks import Callback
from lifecycle.conversations.session_priority import Priority

if TYPE_CHECKING:
    from lifecycle.conversations.run import Run

Send = Callable[["Submission"], Awaitable[None]]
"""Puts a submission on the queue; returns once the broker has accepted it, else raises Unavailable."""

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Topic = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class RunRequest(NullsAsAbsent):
    """A request to run an agent or team.

    Attributes:
        query: The message to the agent; blank only if `client_tools` has results.
        session_id: The session to continue, or the id of a new one; None starts one with a generated id.
        user_id: Who asks; None if not given.
        expected_topics: What a good answer mentions; used for its score.
        context: What the answer must be grounded in; sent to the model with the query.
        metadata: At most 16 strings, returned with the run.
        stream: Whether the answer is published as `run.delta` events while the model writes it.
        pin_version: Whether a session that this run starts keeps the agent as declared now.
        priority: The session's priority; None for the session's own, or normal if this run starts it.
        callback: Where the run's end is reported, by webhook or to a reply queue; None for nowhere.
        client_tools: The caller's tools, and the results of the calls that the previous run ended with; None for none.
            Only allowed if the agent's spec has `client_tools`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    query: str
    session_id: str | None = None
    user_id: str | None = None
    expected_topics: tuple[Topic, ...] = Field(default=(), max_length=32)
    context: str | None = Field(default=None, max_length=100_000)
    metadata: Mapping[MetadataKey, MetadataValue] = Field(default={}, max_length=16)
    stream: StrictBool = False
    pin_version: StrictBool = False
    priority: Priority | None = None
    callback: Callback | None = None
    client_tools: ClientTools | None = None

    def digest(self, agent: str) -> str:
        """Return the SHA-256 (hex) of the request and agent; equal for equal requests."""
        # Fields that were added later count only if set, so that the digests of old requests stay the same.
        since = ("context", "stream", "pin_version", "callback", "client_tools")
        later = {name for name in since if not getattr(self, name)}
        if self.priority in (None, Priority.NORMAL):
            later.add("priority")
        text = json.dumps([agent, self.model_dump(mode="json", exclude=later)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Submission(RunRequest):
    """A run request with its ids: the body of a queue message, version 1.

    The app's own messages only name a stored run, so that every run fits in a message. Those of other producers contain
    the request.

    Attributes:
        query: The message to the agent; None if the run is stored.
        v: Version of the message format.
        workspace: The agent's workspace.
        agent: The agent asked.
        team: The team asked, instead of an agent; None if the message names an agent or a stored run.
        run_id: The run's id; the message's MessageId is used if left out.
        session_id: The session's id; equal to the message's SessionId.
        resumption: Number of the session's resumption that sent the message (`Run.resumption`); 0 for a submission.
        redriven: How often the run had been redriven when the message was sent.
        priority: Priority of session and queue; if left out, the queue's.
    """

    v: Literal[1] = 1
    workspace: str = "default"
    agent: str = ""
    team: str | None = None
    run_id: str
    resumption: int = Field(default=0, ge=0)
    redriven: int = Field(default=0, ge=0)
    query: str | None = None  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues] - widened
    session_id: str  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues] - narrowed
    priority: Priority = Priority.NORMAL  # pyright: ignore[reportIncompatibleVariableOverride] - narrowed

    @property
    def request(self) -> RunRequest:
        """The run request in the message.

        Raises:
            InvalidInput: The message has no query and only names a run (code `invalid_message`).
        """
        if self.query is None:
            raise _unreadable("The body has no query, and there is no run of that id in the session.")
        return RunRequest.model_validate(self.model_dump(include=set(RunRequest.model_fields)))

    def to_json(self) -> str:
        """Return the message body, without the priority: the queue implies it, for every version of the app."""
        return self.model_dump_json(exclude={"priority"}, exclude_unset=True)


def submission_of(run: Run) -> Submission:
    """Return the message that queues a stored run."""
    return Submission(
        v=1,
        workspace=run.workspace,
        agent=run.agent,
        run_id=run.id,
        session_id=run.session_id,
        priority=run.priority,
        resumption=run.resumption,
        redriven=run.redriven,
    )


def check(request: RunRequest, max_query_bytes: int) -> None:
    """Check what the types cannot express.

    Raises:
        TooLarge: The query, or the results of tool calls, exceed the limit (UTF-8 bytes).
        InvalidInput: The query is blank, or an id or a tool is not valid.
    """
    _check_query(request.query, request.client_tools, max_query_bytes)
    try:
        if request.session_id is not None:
            ids.session_id(request.session_id)
        if request.user_id is not None:
            ids.user_id(request.user_id)
    except InvalidInput as error:
        error.fields = {"/user_id" if error.code == "invalid_user_id" else "/session_id": error.detail}
        raise


def _check_query(query: str, given: ClientTools | None, max_query_bytes: int) -> None:
    if given is not None:
        tools.check(given, max_query_bytes)
    if not query.strip() and not (given and given.results):
        raise InvalidInput("The query is empty.", code="empty_query", fields={"/query": "must not be blank"})
    size = len(query.encode())
    if size > max_query_bytes:
        msg = f"The query is {size} bytes; at most {max_query_bytes} are allowed."
        raise TooLarge(msg, code="query_too_large", fields={"/query": msg})


def parse_message(
    body: bytes,
    *,
    message_id: str | None,
    session_id: str | None,
    sequence_number: int,
    priority: Priority,
    max_query_bytes: int,
    headers: MessageHeaders = NO_HEADERS,
) -> Submission:
    """Return the submission in a queue message of any producer.

    Args:
        body: The message's body.
        message_id: Its MessageId; used as idempotency key unless the body has a `run_id`.
        session_id: Its SessionId, which is the session's id.
        sequence_number: Its number in the queue; used if there is no MessageId, as it is the same at redelivery.
        priority: The queue's priority.
        max_query_bytes: Limit of the query, in bytes.
        headers: Its other headers.

    Raises:
        InvalidInput: It is not valid; the detail says why and quotes nothing of it.
    """
    try:
        values = parse_json(body)
    except ValueError:
        raise _unreadable("The body is not JSON.") from None
    try:
        values, event = opened(values, headers)
    except NoCloudEvent as error:
        raise _unreadable(f"The body is not a CloudEvent: {error}.") from None
    if not isinstance(values, dict):
        raise _unreadable("The body is not a JSON object.")
    values = {name: value for name, value in cast("dict[str, Any]", values).items() if value is not None}
    if session_id is None or values.setdefault("session_id", session_id) != session_id:
        raise _unreadable("The body's session_id is not the message's SessionId.")
    if values.setdefault("priority", priority.value) != priority:
        raise _unreadable("The body's priority is not that of the queue it came by.")
    # Sequence numbers are unique only within a queue.
    unnamed = f"sequence-{sequence_number}" if priority is Priority.NORMAL else f"{priority}-sequence-{sequence_number}"
    values.setdefault("run_id", event or message_id or unnamed)
    if "query" in values and (callback := headers.callback(message_id)) is not None:
        values.setdefault("callback", callback)
    try:
        submission = Submission.model_validate(values)
        ids.workspace_name(submission.workspace)
        _check_target(submission)
        if submission.query is not None:
            _check_query(submission.query, submission.client_tools, max_query_bytes)
        ids.session_id(submission.session_id)
        if submission.user_id is not None:
            ids.user_id(submission.user_id)
        run_id = ids.run_id(submission.workspace, submission.run_id)
    except ValidationError as error:
        raise _unreadable(_in_words(error)) from None
    except AppError as error:
        raise _unreadable(error.detail) from None
    return submission.model_copy(update={"run_id": run_id})


def _check_target(submission: Submission) -> None:
    if (submission.team is None) == (not submission.agent):
        raise _unreadable("The body names either an agent or a team.")
    if submission.team is not None:
        ids.team_name(submission.team)
    else:
        ids.agent_name(submission.agent)


def _unreadable(detail: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_message")


def _in_words(error: ValidationError) -> str:
    """Return which fields are wrong and how; never a value, of unknown fields only their names."""
    unknown = unknown_fields(error, Submission)
    wrong = [f"{place} ({fault})" for place, fault in wrong_places(error).items() if fault != NO_SUCH_FIELD]
    found = [f"The body is not valid: {', '.join(wrong[:5])}." if wrong else "", unknown]
    return " ".join(filter(None, found))
