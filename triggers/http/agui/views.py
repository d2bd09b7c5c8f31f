"""What the AG-UI protocol sends, as far as agents need it; its names on the wire are in camelCase."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from kernel.validation import NullsAsAbsent

Text = Annotated[str, StringConstraints(max_length=1_000_000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Sent(NullsAsAbsent):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True, alias_generator=to_camel)


class Content(_Sent):
    """A part of what was said."""

    type: Annotated[str, StringConstraints(max_length=64)]
    text: Text | None = None


class Message(_Sent):
    """A message of the conversation."""

    role: Annotated[str, StringConstraints(max_length=64)]
    content: Text | Annotated[tuple[Content, ...], Field(max_length=256)] | None = None


class Resume(_Sent):
    """An answer to an interrupt: `{"decision": "approve" | "reject", "reason"}`, or true or false."""

    interrupt_id: Id
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class RunInput(_Sent):
    """A request to run an agent: `threadId` is a session, and the same `runId` in it is the same run.

    Tools, context and state of the caller's are not given to the agent; `X-Ignored-Parameters` names those that came.
    """

    thread_id: Id
    run_id: Id
    messages: Annotated[tuple[Message, ...], Field(max_length=2000)]
    tools: tuple[Any, ...] = ()
    context: tuple[Any, ...] = ()
    state: Any = None
    forwarded_props: Any = None
    resume: Annotated[tuple[Resume, ...], Field(max_length=50)] = ()
