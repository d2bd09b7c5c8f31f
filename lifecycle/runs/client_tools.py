"""Client tools in an attempt: offered to the model, never called here, and sent with their results later."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

from kernel.errors import InvalidInput
from lifecycle.conversations.client_tool_values import MAX_CALLS, ClientCall, call_id, results_of
from lifecycle.conversations.run_transitions import user_message

if TYPE_CHECKING:
    from agent_framework import (
        AgentResponse,
        ChatContext,
        ChatMiddleware,
        ChatResponse,
        ChatResponseUpdate,
        Content,
        FunctionTool,
        Message,
        ResponseStream,
    )

    from lifecycle.conversations.run import Run
    from lifecycle.conversations.session_store import Turn

_CALL = "function_call"
_RESULT = "function_result"


def offered(run: Run) -> Sequence[FunctionTool]:
    """Return the run's client tools as framework tools that are declared but not callable."""
    from agent_framework import FunctionTool  # noqa: PLC0415 - cold start

    given = run.input.client_tools
    return [
        FunctionTool(
            name=tool.name,
            description=tool.description,
            func=None,
            input_model=dict(tool.parameters or {"type": "object", "properties": {}}),
        )
        for tool in (given.offered if given else ())
    ]


def options_of(run: Run) -> dict[str, Any]:
    """Return the caller's choice of tools as arguments of the framework's `run`."""
    given = run.input.client_tools
    if given is None or given.choice in ("auto", "none"):
        return {}
    if given.choice == "required":
        return {"options": {"tool_choice": "required"}}
    return {"options": {"tool_choice": {"mode": "required", "required_function_name": given.choice}}}


def messages_of(turn: Turn) -> list[Message]:
    """Return a history message as model messages, with its tool calls or their results."""
    from agent_framework import Content, Message  # noqa: PLC0415 - cold start

    if turn.role == "tool":
        return [
            Message("tool", [Content.from_function_result(each.call_id, result=each.output)])
            for each in results_of(turn.text)
        ]
    calls = [Content.from_function_call(call.id, call.name, arguments=call.arguments) for call in turn.tool_calls]
    contents = [Content.from_text(turn.text)] if turn.text or not calls else []
    return [Message(cast("Any", turn.role), [*contents, *calls])]


def conversation(history: Sequence[Message], run: Run) -> list[Message | str]:
    """Return the history and the run's message as model messages, each call followed by its results.

    Calls of the history without results, and results whose calls are not included, are left out.

    Raises:
        InvalidInput: The results do not match the calls that the history ends with (`tool_results_unmatched`).
    """
    from agent_framework import Content, Message  # noqa: PLC0415 - cold start

    given = run.input.client_tools
    results = given.results if given else ()
    current: list[Message | str] = []
    if results:
        open_calls = {call.call_id for call in _calls(history[-1])} if history else set[Any]()
        if {result.call_id for result in results} != open_calls:
            msg = "The results are not those of the calls that the conversation waits for: one for each of them."
            raise InvalidInput(msg, code="tool_results_unmatched", fields={"/client_tools/results": "other calls"})
        last, history = history[-1], history[:-1]
        current = [
            last,
            *(Message("tool", [Content.from_function_result(r.call_id, result=r.output)]) for r in results),
        ]
    if run.query.strip():
        current.append(user_message(run))
    return [*_paired(history), *current]


def calls_of(run: Run, response: AgentResponse[Any]) -> tuple[ClientCall, ...]:
    """Return the calls of client tools that an answer ends with, with ids of the run."""
    given = run.input.client_tools
    if given is None or not response.messages:
        return ()
    names = {tool.name for tool in given.offered}
    asked = [content for content in _calls(response.messages[-1]) if content.name in names]
    return tuple(
        ClientCall(call_id(run.id, number), str(content.name), _arguments(content))
        for number, content in enumerate(asked[:MAX_CALLS])
    )


def own_first(run: Run) -> ChatMiddleware:
    """Return chat middleware that drops calls of client tools from responses that also call the agent's own tools.

    Executing only its own calls would leave the response half done; the model asks again once it has their results.
    """
    from lifecycle.tools.middleware import chat_middleware  # noqa: PLC0415 - cold start

    given = run.input.client_tools
    names = {tool.name for tool in given.offered} if given else set[str]()

    @chat_middleware
    async def drop(context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        await call_next()
        if context.stream:
            context.result = _stream(cast("Any", context.result), names)
        else:
            response = cast("ChatResponse[Any]", context.result)
            dropped = _left_out([content for message in response.messages for content in message.contents], names)
            for message in response.messages:
                message.contents = [each for each in message.contents if not _is_of(each, dropped)]

    return drop


def _stream(
    stream: ResponseStream[ChatResponseUpdate, ChatResponse[Any]], names: Collection[str]
) -> ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
    """Return the stream with text as it comes, and its calls at the end, when all are known."""
    from agent_framework import ChatResponse, ResponseStream  # noqa: PLC0415 - cold start

    async def updates() -> AsyncIterator[ChatResponseUpdate]:
        held: list[ChatResponseUpdate] = []
        async with stream:
            async for update in stream:
                if held or any(content.type == _CALL for content in update.contents):
                    held.append(update)
                else:
                    yield update
        # A call comes in pieces, of which only the first has its name, so calls are assembled first.
        whole = ChatResponse.from_updates(held)
        asked = [content for message in whole.messages for content in _calls(message)]
        dropped = _left_out(asked, names)
        for update in held:
            other_contents = [each for each in update.contents if each.type != _CALL]
            update.contents = [*other_contents, *(each for each in asked if not _is_of(each, dropped))]
            asked = []
            yield update

    return ResponseStream(updates(), finalizer=ChatResponse.from_updates)


def _left_out(contents: Sequence[Content], names: Collection[str]) -> set[str]:
    """Return the ids of the calls of client tools, if there are also calls of the agent's own tools."""
    calls = [content for content in contents if content.type == _CALL]
    theirs = {str(content.call_id) for content in calls if content.name in names}
    return theirs if any(content.name not in names for content in calls) else set()


def _is_of(content: Content, calls: Collection[str]) -> bool:
    return content.type == _CALL and str(content.call_id) in calls


def _calls(message: Message) -> list[Content]:
    return [content for content in message.contents if content.type == _CALL]


def _arguments(content: Content) -> str:
    given = content.arguments
    return given if isinstance(given, str) else json.dumps(given or {}, default=str)


def _paired(history: Sequence[Message]) -> list[Message]:
    """Return the messages without calls that are not directly followed by results, and without unmatched results."""
    from agent_framework import Message  # noqa: PLC0415 - cold start

    paired: list[Message] = []
    number = 0
    while number < len(history):
        message = history[number]
        after = number + 1
        while after < len(history) and history[after].role == "tool":
            after += 1
        results = history[number + 1 : after]
        calls = {content.call_id for content in _calls(message)}
        if message.role == "tool":
            number = after
            continue
        answered = {content.call_id for each in results for content in each.contents if content.type == _RESULT}
        if calls and calls == answered:
            paired += [message, *results]
        elif calls:
            kept = [content for content in message.contents if content.type != _CALL]
            paired += [Message(message.role, kept)] if kept else []
        else:
            paired.append(message)
        number = after
    return paired
