"""Models of the AG-UI protocol, as far as agents need it; JSON names are in camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from kernel.validation import NullsAsAbsent

Text = Annotated[str, StringConstraints(max_length=1_000_000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Sent(NullsAsAbsent):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True, alias_generator=to_camel)


class Content(_Sent):
    """A part of a message."""

    type: Annotated[str, StringConstraints(max_length=64)]
    text: Text | None = None


class CalledFunction(_Sent):
    """The function that a message calls, and its arguments as JSON."""

    name: Id
    arguments: Text = ""


class ToolCall(_Sent):
    """A call of a front-end tool, as in an earlier answer."""

    id: Id
    function: CalledFunction


class Message(_Sent):
    """A message of the conversation."""

    role: Annotated[str, StringConstraints(max_length=64)]
    content: Text | Annotated[tuple[Content, ...], Field(max_length=256)] | None = None
    tool_calls: Annotated[tuple[ToolCall, ...], Field(max_length=128)] = ()
    tool_call_id: Id | None = None


class Tool(_Sent):
    """A front-end tool; `parameters` is JSON Schema."""

    name: Id
    description: Text = ""
    parameters: Mapping[str, Any] | None = None


class Resume(_Sent):
    """An answer to an interrupt: `{"decision": "approve" | "reject", "reason"}`, or true or false."""

    interrupt_id: Id
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class RunInput(_Sent):
    """A request to run an agent: `threadId` is a session, and the same `runId` in it is the same run.

    Front-end tools are passed to agents whose spec has `client_tools`. Context and state are ignored; the response
    header `X-Ignored-Parameters` lists what was.
    """

    thread_id: Id
    run_id: Id
    messages: Annotated[tuple[Message, ...], Field(max_length=2000)]
    tools: Annotated[tuple[Tool, ...], Field(max_length=128)] = ()
    context: tuple[Any, ...] = ()
    state: Any = None
    forwarded_props: Any = None
    resume: Annotated[tuple[Resume, ...], Field(max_length=50)] = ()
