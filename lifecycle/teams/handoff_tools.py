"""What a model gets of its team: tools for handoffs, and the note of the member before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lifecycle.teams.handoff import HandedOver, HandoffRequest, RunHandoffs
from lifecycle.teams.member_routing import Wanted
from lifecycle.tools.handoff import SCHEMA, arguments_of, description_of, handoff_tool

if TYPE_CHECKING:
    from agent_framework import ChatContext, ChatResponse, ChatResponseUpdate, FunctionTool, Message, ResponseStream

    from lifecycle.conversations.session import Session
    from lifecycle.conversations.team_assignment import Note

_MOST_REASON = 500


def handoff_tools(handoffs: RunHandoffs, declared: Sequence[object]) -> Sequence[FunctionTool]:
    """Return the handoff tools for the model, except those that its agent declares itself."""
    return [
        _tool(member.tool, description_of(member.name, member.description))
        for member in handoffs.targets
        if member.tool not in declared
    ]


def handoff_middleware(handoffs: RunHandoffs) -> Any:
    """Return middleware for Agent Framework that ends the attempt when a response hands over.

    Other tool calls of that response are not made: the next member decides anew.
    """
    from lifecycle.tools.middleware import chat_middleware  # noqa: PLC0415 - cold start

    @chat_middleware
    async def look(context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        await call_next()
        if context.stream:
            context.result = _checked_stream(handoffs, context.result)  # pyright: ignore[reportArgumentType]
        else:
            await _hand_over_if_called(handoffs, context.result)  # pyright: ignore[reportArgumentType] - not a stream

    return look


def brief(session: Session) -> Sequence[Message]:
    """Return the message that tells the model how its member got the session; empty for the first member."""
    assignment = session.assignment
    if assignment is None or assignment.note is None:
        return []
    from agent_framework import Message  # noqa: PLC0415 - cold start

    return [Message("user", [note_text(assignment.note)])]


def note_text(note: Note) -> str:
    """Return a note as text for the model."""
    parts = [f"You take this conversation over from {note.source}: {note.reason}."]
    parts += [f"Known: {fact}" for fact in note.facts]
    parts += [f"Open: {question}" for question in note.questions]
    parts += [f"So far: {note.summary}"] if note.summary else []
    return "<handoff>\n" + "\n".join(parts) + "\n</handoff>"


@lru_cache(maxsize=1_024)
def _tool(name: str, description: str) -> FunctionTool:
    from lifecycle.tools.function_tools import framework_tool  # noqa: PLC0415 - imports the framework

    return framework_tool(handoff_tool(name), schema=SCHEMA, description=description)


async def _hand_over_if_called(handoffs: RunHandoffs, response: ChatResponse[Any]) -> None:
    """Hand the run over if the response calls a handoff tool.

    Raises:
        HandedOver: It does, and a member takes over.
    """
    by_tool = {member.tool: member for member in handoffs.targets}
    for message in response.messages:
        for content in message.contents:
            member = by_tool.get(str(content.name)) if content.type == "function_call" else None
            if member is None:
                continue
            reason, facts, questions, summary = arguments_of(dict(content.parse_arguments() or {}))
            request = HandoffRequest(
                Wanted(member.name), "model", (reason or "the model asked for it")[:_MOST_REASON], facts, questions
            )
            move = await handoffs.to(request, summary)
            if move is not None:
                raise HandedOver(move)
            return


def _checked_stream(
    handoffs: RunHandoffs, stream: ResponseStream[ChatResponseUpdate, ChatResponse[Any]]
) -> ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
    from agent_framework import ChatResponse, ResponseStream  # noqa: PLC0415 - cold start

    async def updates() -> AsyncIterator[ChatResponseUpdate]:
        async with stream:
            async for update in stream:
                yield update
            response = await stream.get_final_response()
        await _hand_over_if_called(handoffs, response)

    return ResponseStream(updates(), finalizer=ChatResponse.from_updates)
