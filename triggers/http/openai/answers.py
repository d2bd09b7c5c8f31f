"""Runs as responses of OpenAI's protocol, complete and streamed."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from kernel.errors import AppError, NotFound
from lifecycle.conversations.client_tool_values import TOOL_CALLS, ClientCall
from lifecycle.conversations.run import Run, RunState
from llmops.spend.usage import Spend
from triggers.http import protocol_runs
from triggers.http.openai.errors import error_object
from triggers.http.openai.views import (
    AnswerMessage,
    CalledFunctionView,
    ChatCompletion,
    ChatToolCallView,
    Choice,
    CompletionTokensDetails,
    CompletionUsage,
    ConversationId,
    Incomplete,
    InputTokensDetails,
    OutputCall,
    OutputMessage,
    OutputText,
    OutputTokensDetails,
    PromptTokensDetails,
    ResponseError,
    ResponseUsage,
    ResponseView,
    dumped,
)
from triggers.http.protocol_runs import SubmittedRun

_STATUS = {
    RunState.QUEUED: "queued",
    RunState.RUNNING: "in_progress",
    RunState.WAITING: "in_progress",
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
}
_CUT = "length"
_RESPONSE = "resp_"
_HEX = re.compile("[0-9a-f]{32}")


def response_id(run_id: str) -> str:
    """Return the response id of a run's id."""
    return f"{_RESPONSE}{uuid.UUID(run_id).hex}"


def run_of_response(text: str) -> str:
    """Return the id of the run that a response id stands for.

    Raises:
        NotFound: It is not a response id.
    """
    digits = text.removeprefix(_RESPONSE)
    if text == digits or not _HEX.fullmatch(digits):
        raise no_response(text)
    return str(uuid.UUID(hex=digits))


def no_response(text: str) -> NotFound:
    """Return the error for a response that does not exist."""
    return NotFound(
        f"There is no response {text[:64]!r}.", code="response_not_found", fields={"response_id": "unknown"}
    )


def seconds(run: Run) -> int:
    """Return when the run was accepted, in seconds since the epoch."""
    return int(run.created_at.timestamp())


def chat_completion(run: Run) -> ChatCompletion:
    """Return the chat completion of a run that succeeded."""
    calls = [_chat_call(call) for call in run.tool_calls]
    message = AnswerMessage(content=(run.answer or None) if calls else run.answer, tool_calls=calls or None)
    return ChatCompletion(
        id=_chat_id(run),
        created=seconds(run),
        model=run.agent,
        choices=[Choice(message=message, finish_reason=_finish_reason(run))],
        usage=chat_usage(run.spend),
    )


def chat_usage(spend: Spend) -> CompletionUsage:
    """Return the usage of a run, over all its model calls."""
    return CompletionUsage(
        prompt_tokens=spend.input_tokens,
        completion_tokens=spend.output_tokens,
        total_tokens=spend.input_tokens + spend.output_tokens,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=spend.cached_tokens, cache_write_tokens=spend.cache_write_tokens
        ),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=spend.reasoning_tokens),
    )


async def chat_chunks(asked: SubmittedRun, pieces: AsyncGenerator[str], *, with_usage: bool) -> AsyncGenerator[str]:
    """Yield a run's answer as server-sent events of Chat Completions; after a failure an `error` ends the stream.

    Args:
        asked: The run.
        pieces: Its text.
        with_usage: Whether a chunk with the usage comes last (`stream_options.include_usage`).
    """
    run = asked.run

    def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if with_usage else {}
        return _data(_chunk(run, [choice]) | usage)

    yield chunk({"role": "assistant", "content": ""})
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield chunk({"content": piece})
        protocol_runs.check_answered(asked)
    except AppError as error:
        yield _data({"error": error_object(error)[1]})
        return
    for index, call in enumerate(asked.run.tool_calls):
        yield chunk({"tool_calls": [{"index": index} | dumped(_chat_call(call))]})
    yield chunk({}, _finish_reason(asked.run))
    if with_usage:
        yield _data(_chunk(run, []) | {"usage": dumped(chat_usage(asked.run.spend))})
    yield "data: [DONE]\n\n"


def response_view(
    asked: SubmittedRun, *, background: bool = False, previous: str | None = None, text: str | None = None
) -> ResponseView:
    """Return a run as a response.

    Args:
        asked: The run.
        background: Whether it was requested in the background.
        previous: Id of the response it continues from.
        text: The text sent so far; None for the run's own answer.
    """
    run = asked.run
    status = _STATUS[run.state]
    cut = run.state is RunState.SUCCEEDED and run.finish_reason == _CUT
    answer_text = run.answer if text is None else text
    status = "incomplete" if cut else status
    output: list[OutputMessage | OutputCall] = []
    if answer_text or (answer_text is not None and not run.tool_calls):
        output = [
            OutputMessage(id=message_id(run), status=_item_status(status), content=[OutputText(text=answer_text)])
        ]
    output += [output_call(call, _item_status(status)) for call in run.tool_calls]
    failed = run.error if run.state is RunState.FAILED else None
    return ResponseView(
        id=response_id(run.id),
        created_at=seconds(run),
        completed_at=int(run.finished_at.timestamp()) if run.finished_at and status == "completed" else None,
        status=status,
        background=background,
        model=run.agent,
        output=output,
        error=ResponseError(code=failed.code, message=failed.detail) if failed else None,
        incomplete_details=Incomplete(reason="max_output_tokens") if cut else None,
        metadata=run.metadata,
        conversation=ConversationId(id=run.session_id),
        previous_response_id=previous,
        usage=_response_usage(run.spend) if run.finished else None,
        user=run.user_id,
    )


async def response_events(
    asked: SubmittedRun, pieces: AsyncGenerator[str], *, background: bool, previous: str | None
) -> AsyncGenerator[str]:
    """Yield a run as server-sent events of Responses: created, its text as it grows, and the outcome."""
    number = 0

    def event(kind: str, **data: Any) -> str:
        nonlocal number
        number += 1
        body = {"type": kind, "sequence_number": number - 1} | data
        return f"event: {kind}\ndata: {json.dumps(body)}\n\n"

    def seen() -> dict[str, Any]:
        return dumped(response_view(asked, background=background, previous=previous))

    item = {"item_id": message_id(asked.run), "output_index": 0, "content_index": 0}
    yield event("response.created", response=seen() | {"status": "in_progress", "output": []})
    yield event("response.in_progress", response=seen() | {"status": "in_progress", "output": []})
    text, changed = "", None
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if not text:
                    begun = OutputMessage(id=message_id(asked.run), status="in_progress", content=[])
                    part = dumped(OutputText(text=""))
                    yield event("response.output_item.added", output_index=0, item=dumped(begun))
                    yield event("response.content_part.added", part=part, **item)
                text += piece
                yield event("response.output_text.delta", delta=piece, logprobs=[], **item)
    except AppError as error:
        changed = error_object(error)[1]
    response = seen()
    if changed is not None:
        response |= {"status": "failed", "error": {"code": changed["code"], "message": changed["message"]}}
    if text and changed is None and asked.run.finished:
        done = OutputMessage(
            id=message_id(asked.run), status=_item_status(response["status"]), content=[OutputText(text=text)]
        )
        yield event("response.output_text.done", text=text, logprobs=[], **item)
        yield event("response.content_part.done", part=dumped(OutputText(text=text)), **item)
        yield event("response.output_item.done", output_index=0, item=dumped(done))
    if changed is None:
        for index, call in enumerate(asked.run.tool_calls, 1 if text else 0):
            for kind, data in _call_events(call, index):
                yield event(kind, **data)
    if response["status"] == "cancelled":  # the protocol has no event for this
        response |= {"status": "incomplete", "incomplete_details": {"reason": "cancelled"}}
    kinds = {"completed": "completed", "failed": "failed", "incomplete": "incomplete", "queued": "queued"}
    yield event(f"response.{kinds.get(response['status'], 'in_progress')}", response=response)


def output_call(call: ClientCall, status: str) -> OutputCall:
    """Return a call of a caller's tool as an item of a response."""
    ident = call.id.removeprefix("call_")
    return OutputCall(id=f"fc_{ident}", call_id=call.id, name=call.name, arguments=call.arguments, status=status)


def _call_events(call: ClientCall, index: int) -> Iterator[tuple[str, dict[str, Any]]]:
    item = dumped(output_call(call, "completed"))
    about = {"item_id": item["id"], "output_index": index}
    begun = item | {"arguments": "", "status": "in_progress"}
    yield "response.output_item.added", {"output_index": index, "item": begun}
    yield "response.function_call_arguments.delta", about | {"delta": call.arguments}
    yield "response.function_call_arguments.done", about | {"name": call.name, "arguments": call.arguments}
    yield "response.output_item.done", {"output_index": index, "item": item}


def message_id(run: Run) -> str:
    """Return the id of a run's answer as an item of a response."""
    return f"msg_{uuid.UUID(run.id).hex}"


def _response_usage(spend: Spend) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=spend.input_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=spend.cached_tokens, cache_write_tokens=spend.cache_write_tokens
        ),
        output_tokens=spend.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=spend.reasoning_tokens),
        total_tokens=spend.input_tokens + spend.output_tokens,
    )


def _item_status(status: str) -> str:
    return status if status in ("completed", "incomplete") else "in_progress"


def _finish_reason(run: Run) -> str:
    if run.tool_calls:
        return TOOL_CALLS
    return _CUT if run.finish_reason == _CUT else "stop"


def _chat_call(call: ClientCall) -> ChatToolCallView:
    function = CalledFunctionView(name=call.name, arguments=call.arguments)
    return ChatToolCallView(id=call.id, function=function)


def _chat_id(run: Run) -> str:
    return f"chatcmpl-{uuid.UUID(run.id).hex}"


def _chunk(run: Run, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "id": _chat_id(run),
        "object": "chat.completion.chunk",
        "created": seconds(run),
        "model": run.agent,
        "choices": list(choices),
    }


def _data(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
