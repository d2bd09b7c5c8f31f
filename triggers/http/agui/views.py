"""What the AG-UI protocol sends, as far as agents need it; its names on the wire are in camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag
from pydantic.alias_generators import to_camel

from kernel.validation import NullsAsAbsent, text_or_list

Text = Annotated[str, StringConstraints(max_length=1_000_000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Sent(NullsAsAbsent):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True, alias_generator=to_camel)


class Content(_Sent):
    """A part of what was said."""

    type: Annotated[str, StringConstraints(max_length=64)]
    text: Text | None = None


Said = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[tuple[Content, ...], Field(max_length=256), Tag("(list)")],
    Discriminator(text_or_list),
]


class CalledFunction(_Sent):
    """The function that a message calls, and its arguments as JSON."""

    name: Id
    arguments: Text = ""


class ToolCall(_Sent):
    """A call of a tool of the front end's, as an earlier answer has it."""

    id: Id
    function: CalledFunction


class Message(_Sent):
    """A message of the conversation."""

    role: Annotated[str, StringConstraints(max_length=64)]
    content: Said | None = None
    tool_calls: Annotated[tuple[ToolCall, ...], Field(max_length=128)] = ()
    tool_call_id: Id | None = None


class Tool(_Sent):
    """A tool of the front end's; `parameters` is JSON Schema."""

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

    Tools of the front end's are given to agents whose spec has `client_tools`. Context and state are not given to the
    agent; `X-Ignored-Parameters` names what came and is not.
    """

    thread_id: Id
    run_id: Id
    messages: Annotated[tuple[Message, ...], Field(max_length=2000)]
    tools: Annotated[tuple[Tool, ...], Field(max_length=128)] = ()
    context: tuple[Any, ...] = ()
    state: Any = None
    forwarded_props: Any = None
    resume: Annotated[tuple[Resume, ...], Field(max_length=50)] = ()
