"""Normalising the various Chat Completions responses of servers into the form that the framework expects.

A complete answer counts even without `finish_reason`, with `choices: null` in its last chunk, or as one JSON body where
a stream was requested. An answer is incomplete if its stream ends without `[DONE]` and without `finish_reason`, or its
body is truncated.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Self, cast

from openai import APIConnectionError, APIError, AsyncOpenAI, AsyncStream
from openai.resources.chat import AsyncChat
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletion, ChatCompletionChunk

UNKNOWN = "unknown"
"""Finish reason set for a complete answer without one."""

_REASONS = {
    **{reason: reason for reason in ("stop", "length", "tool_calls", "content_filter")},
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "tool_use": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
}
"""OpenAI's finish reasons for those of other providers that gateways pass on; in lower case."""


class AnsweredError(APIError):
    """An error that was sent with status 200, before any part of an answer.

    Attributes:
        status_code: The status in its body, or 502.
    """

    def __init__(self, error: Any, request: Any) -> None:
        super().__init__("an error was sent as an answer", request, body=error)
        code = error.get("code") if isinstance(error, Mapping) else None
        status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 0
        self.status_code = status if 400 <= status <= 599 else 502


def mend(client: AsyncOpenAI) -> AsyncOpenAI:
    """Make the client's chat completions return normalised answers, and return the client."""
    cast("Any", client).chat = _Chat(client)
    return client


class _Chat(AsyncChat):
    @property
    def completions(self) -> AsyncCompletions:  # pyright: ignore[reportIncompatibleVariableOverride] - cached there
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(self, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        answer: Any = await super().create(*args, **kwargs)
        if isinstance(answer, AsyncStream):
            return _Chunks(cast("AsyncStream[ChatCompletionChunk]", answer))
        return _whole(answer, None)


class _Chunks:
    """A stream of chunks, closed by its context manager."""

    def __init__(self, stream: AsyncStream[ChatCompletionChunk]) -> None:
        self._stream = stream
        inner: Any = stream  # the SDK does not reveal whether `[DONE]` came
        self._events = inner._decoder = _Events(inner._decoder)  # noqa: SLF001

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.close()

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        response = self._stream.response
        if "json" in response.headers.get("content-type", ""):
            body = json.loads(await response.aread())
            yield _as_chunk(_whole(body, response.request))
            return
        began = ended = False
        latest: ChatCompletionChunk | None = None
        try:
            async for chunk in self._stream:
                latest = _chunk(chunk)
                began = began or any(_says(choice.delta) for choice in latest.choices)
                ended = ended or any(choice.finish_reason for choice in latest.choices)
                yield latest
        except APIError as error:
            if latest is None and type(error) is APIError:
                raise AnsweredError(error.body, response.request) from error
            raise
        if ended:
            return
        if latest is None or not began or not self._events.done:
            raise APIConnectionError(message="The stream ended in the middle.", request=response.request)
        choice = {"index": 0, "delta": {}, "finish_reason": UNKNOWN}
        envelope: Any = {"id": latest.id, "created": latest.created, "model": latest.model}
        yield ChatCompletionChunk.construct(**envelope, choices=[choice])


class _Events:
    """The SDK's decoder of server-sent events, which also notes whether `[DONE]` came."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.done = False

    async def aiter_bytes(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the events."""
        async for event in self._decoder.aiter_bytes(pieces):
            self.done = self.done or event.data.startswith("[DONE]")
            yield event


def _whole(answer: Any, request: Any) -> ChatCompletion:
    """Return the answer, normalised.

    Raises:
        AnsweredError: It is an error.
    """
    if isinstance(answer, Mapping):
        answer = ChatCompletion.construct(**cast("Mapping[str, Any]", answer))
    if not isinstance(answer, ChatCompletion):
        return answer  # not JSON, which the framework would reject
    answer.choices = [choice for choice in answer.choices or () if choice is not None and choice.message is not None]
    error = (answer.model_extra or {}).get("error")
    if error and not answer.choices:
        raise AnsweredError(error, request)
    _envelope(answer)
    for choice in answer.choices:
        choice.message.content = _text(choice.message.content)
        choice.finish_reason = _reason(choice.finish_reason)
        if not choice.finish_reason and _says(choice.message):
            choice.finish_reason = cast("Any", UNKNOWN)
    return answer


def _chunk(chunk: ChatCompletionChunk) -> ChatCompletionChunk:
    chunk.choices = [choice for choice in chunk.choices or () if choice is not None]
    _envelope(chunk)
    for choice in chunk.choices:
        choice.finish_reason = _reason(choice.finish_reason)
        if choice.delta is not None:
            choice.delta.content = _text(choice.delta.content)
    return chunk


def _envelope(answer: ChatCompletion | ChatCompletionChunk) -> None:
    """Add fields that the framework requires."""
    if not isinstance(answer.created, int) or isinstance(answer.created, bool):
        answer.created = 0
    if not answer.usage or not hasattr(answer.usage, "to_dict") or not answer.usage.to_dict(warnings=False):
        answer.usage = None  # an empty value must not replace that of an earlier chunk


def _reason(reason: Any) -> Any:
    """Return OpenAI's name of a finish reason; an unknown one unchanged."""
    return _REASONS.get(reason.lower(), reason) if isinstance(reason, str) else None


def _says(message: Any) -> bool:
    return message is not None and bool(message.content or message.tool_calls or message.refusal)


def _text(content: Any) -> Any:
    """Return the text of a content; where it comes in parts, without the model's thoughts."""
    return "".join(_parts(content)) if isinstance(content, list) else content


def _parts(content: list[Any]) -> Iterator[str]:
    for part in content:
        if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
            yield part["text"]


def _as_chunk(answer: ChatCompletion) -> ChatCompletionChunk:
    """Return a complete answer as the only chunk of a stream."""
    data: dict[str, Any] = answer.to_dict(mode="python", warnings=False)
    for choice in data["choices"]:
        delta = choice.pop("message")
        for index, call in enumerate(delta.get("tool_calls") or ()):
            call["index"] = index
        choice["delta"] = delta
    return ChatCompletionChunk.construct(**data)
