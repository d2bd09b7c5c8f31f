"""How a chat middleware learns what one model round trip was: its model, tokens, time and outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from agent_framework import ChatContext, ChatMiddleware, ChatResponse, ChatResponseUpdate, ResponseStream, UsageDetails

ChatStream = ResponseStream[ChatResponseUpdate, ChatResponse[Any]]


@dataclass(frozen=True)
class Call:
    """One model round trip.

    Attributes:
        asked: Model that was asked for.
        served: Model that answered; None when none did.
        usage: Tokens; None when the call failed or the endpoint did not say.
        latency_s: From the request to the last piece of the answer.
        finish_reason: None when the call failed.
    """

    asked: str
    served: str | None
    usage: UsageDetails | None
    latency_s: float
    finish_reason: str | None


class Meter(ChatMiddleware):
    """Writes down every model round trip of a run, also those that fail or whose stream is left early."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.begun = asyncio.Event()

    async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        asked = str((context.options or {})["model"])
        started = time.monotonic()
        self.begun.set()
        if context.stream:
            await call_next()  # only makes the stream: nothing is sent before it is read
            context.result = self._metered(cast("ChatStream", context.result), asked, started)
            return
        response: ChatResponse | None = None
        try:
            await call_next()
            response = cast("ChatResponse", context.result)
        finally:
            await self._settle(asked, response, started)

    def _metered(self, stream: ChatStream, asked: str, started: float) -> ChatStream:
        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            response: ChatResponse | None = None
            try:
                async with stream:
                    async for update in stream:
                        yield update
                    response = await stream.get_final_response()
            finally:
                await self._settle(asked, response, started)

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates)

    async def _settle(self, asked: str, response: ChatResponse | None, started: float) -> None:
        took = time.monotonic() - started
        if response is None:
            self.calls.append(Call(asked, None, None, took, None))
        else:
            self.calls.append(Call(asked, response.model, response.usage_details, took, response.finish_reason))
