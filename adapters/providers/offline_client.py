"""The chat client of `OfflineProvider`: computes answers by rule.

Apart from the innermost step it is Agent Framework's own stack, composed as its OpenAI client is, so that the tool
loop, the middleware per model call and the telemetry are those of production.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, ClassVar, cast

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    ContextProvider,
    FunctionInvocationLayer,
    FunctionTool,
    Message,
    ResponseStream,
    UsageDetails,
)
from agent_framework.observability import ChatTelemetryLayer

from kernel.clock import Clock, rfc3339
from kernel.errors import AppError, ProviderRejected, Unavailable
from kernel.lazy_dataclass import dataclass
from lifecycle.registry.providers import AttemptId, ProviderVersion
from lifecycle.specs.spec import AgentSpec, Simulation

_BYTES_PER_TOKEN = 4
_PIECE = 24  # characters per streamed update
_FIRST = AttemptId("", 1)


def open_agent(
    version: ProviderVersion,
    spec: AgentSpec,
    tools: Sequence[FunctionTool],
    clock: Clock,
    context: Sequence[ContextProvider] = (),
) -> Agent:
    """Return an agent over an offline client for the version."""
    options = {"model": spec.model, "max_tokens": spec.max_output_tokens}
    return Agent(
        OfflineChatClient(name=version.name, simulate=spec.simulate or Simulation(), clock=clock),
        spec.instructions or None,
        id=version.id,
        name=version.name,
        tools=list(tools),
        context_providers=list(context),
        default_options=cast("Any", options),
    )


def count_tokens(*texts: str) -> int:
    """Return the simulated token count: one per 4 bytes of UTF-8 of all texts together, rounded up."""
    return -(-sum(len(text.encode()) for text in texts) // _BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Answer:
    """The "model's" answer to one call.

    Attributes:
        content: The text, or the call of a tool.
        finish_reason: `stop`, `length` (cut at the output limit) or `tool_calls`.
        usage: Tokens by `count_tokens`: of instructions and messages, and of the answer.
        model: The requested model.
        id: Id of the response, equal for equal conversations.
        created_at: Time of creation, as RFC 3339.
    """

    content: Content
    finish_reason: str
    usage: UsageDetails
    model: str
    id: str
    created_at: str


class _RawOfflineChatClient(BaseChatClient[Any]):
    """The innermost step: one model call."""

    def __init__(self, *, name: str, simulate: Simulation, clock: Clock, **kwargs: Any) -> None:
        self._name = name
        self._simulate = simulate
        self._clock = clock
        super().__init__(**kwargs)

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse] | ResponseStream[ChatResponseUpdate, ChatResponse]:
        attempt = cast("AttemptId", kwargs.get("attempt", _FIRST))
        if stream:
            return self._build_response_stream(self._pieces(messages, options, attempt))
        return self._whole(messages, options, attempt)

    async def _whole(self, messages: Sequence[Message], options: Mapping[str, Any], attempt: AttemptId) -> ChatResponse:
        await asyncio.sleep(self._simulate.latency_ms / 1000)
        self._fail_if_asked(attempt)
        answer = self._answer(messages, options)
        return ChatResponse(
            messages=Message("assistant", [answer.content]),
            response_id=answer.id,
            model=answer.model,
            created_at=answer.created_at,
            finish_reason=cast("Any", answer.finish_reason),
            usage_details=answer.usage,
        )

    async def _pieces(
        self, messages: Sequence[Message], options: Mapping[str, Any], attempt: AttemptId
    ) -> AsyncIterator[ChatResponseUpdate]:
        answer = self._answer(messages, options)
        pieces = [answer.content]
        if text := answer.content.text:
            cuts = range(0, len(text), _PIECE)
            pieces = [Content.from_text(text[at : at + _PIECE], merge_mode="append") for at in cuts]
        pieces.append(Content.from_usage(answer.usage))
        for piece in pieces:
            await asyncio.sleep((self._simulate.latency_ms / len(pieces) + self._simulate.stream_chunk_ms) / 1000)
            self._fail_if_asked(attempt)
            yield ChatResponseUpdate(
                contents=[piece],
                role="assistant",
                response_id=answer.id,
                message_id=answer.id,
                model=answer.model,
                created_at=answer.created_at,
                finish_reason=cast("Any", answer.finish_reason) if piece is pieces[-1] else None,
            )

    def _fail_if_asked(self, attempt: AttemptId) -> None:
        if attempt.number <= self._simulate.fail_first:
            raise _failure(self._simulate, attempt)

    def _answer(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Answer:
        texts = [str(options.get("instructions") or ""), *(_text(part) for m in messages for part in m.contents)]
        digest = hashlib.sha256(json.dumps([self._name, *texts]).encode()).hexdigest()[:24]
        call = self._tool_call(messages, options, f"call_{digest}")
        content, finish_reason = call or Content.from_text(self._reply(messages)), "tool_calls" if call else "stop"
        limit = options.get("max_tokens")
        if content.text and limit is not None and count_tokens(content.text) > limit:
            cut = content.text.encode()[: limit * _BYTES_PER_TOKEN].decode(errors="ignore")
            content, finish_reason = Content.from_text(cut), "length"
        spent, made = count_tokens(*texts), count_tokens(_text(content))
        usage = UsageDetails(input_token_count=spent, output_token_count=made, total_token_count=spent + made)
        return Answer(content, finish_reason, usage, str(options["model"]), f"offline_{digest}", rfc3339(self._clock()))

    def _tool_call(self, messages: Sequence[Message], options: Mapping[str, Any], call_id: str) -> Content | None:
        """Return the call of `simulate.call_tool`, unless it was made since the user's last message."""
        offered: Sequence[Any] = options.get("tools") or ()
        tool = next((each for each in offered if each.name == self._simulate.call_tool), None)
        if tool is None or options.get("tool_choice") == "none" or _tool_results(messages):
            return None
        arguments = _arguments(tool, _user_texts(messages)[-1:])
        return Content.from_function_call(call_id, tool.name, arguments=json.dumps(arguments))

    def _reply(self, messages: Sequence[Message]) -> str:
        if self._simulate.reply is not None:
            return self._simulate.reply
        texts = _user_texts(messages)
        words = len(texts[-1].split()) if texts else 0
        text = f"[offline] No model was called. Agent '{self._name}' received {words} words in turn {len(texts)}"
        if len(texts) > 1:
            text += f"; the turn before began '{' '.join(texts[-2].split()[:3])[:40]}'"
        if results := _tool_results(messages):
            text += f"; tool '{self._simulate.call_tool}' returned '{results[-1][:200]}'"
        return f"{text}."


class OfflineChatClient(
    FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], ChatTelemetryLayer[Any], _RawOfflineChatClient
):
    """The offline model behind the framework's layers: tool loop, chat middleware, telemetry."""

    OTEL_PROVIDER_NAME: ClassVar[str] = "offline"


def _failure(simulate: Simulation, attempt: AttemptId) -> AppError:
    message = f"Simulated failure of attempt {attempt.number} ({simulate.fail_first} of them fail)."
    match simulate.fail_with:
        case "throttled":
            return Unavailable(message, code="provider_throttled", retry_after_s=1.0)
        case "unavailable":
            return Unavailable(message, code="provider_unavailable")
        case "content_filter":
            return ProviderRejected(message, code="content_filter")
        case "rejected":
            return ProviderRejected(message)


def _text(content: Content) -> str:
    """Return the text of a content as a model would read it: text, a tool's name and arguments, or its result."""
    if content.type == "function_call":
        arguments = content.arguments if isinstance(content.arguments, str) else json.dumps(content.arguments)
        return f"{content.name}{arguments}"
    return str(content.result or "") if content.type == "function_result" else content.text or ""


def _user_texts(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages if message.role == "user"]


def _tool_results(messages: Sequence[Message]) -> list[str]:
    """Return the tool results since the user's last message."""
    start = max((at for at, message in enumerate(messages) if message.role == "user"), default=0)
    return [_text(part) for m in messages[start:] for part in m.contents if part.type == "function_result"]


def _arguments(tool: FunctionTool, texts: Sequence[str]) -> dict[str, Any]:
    """Return arguments that a tool accepts: the user's message for each required text, an empty value for others."""
    schema = tool.parameters()
    empty = {"integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
    properties = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties", {}))
    needed = cast("Sequence[str]", schema.get("required", ()))
    return {name: empty.get(str(properties.get(name, {}).get("type")), " ".join(texts)) for name in needed}
