"""Chat middleware of all providers that rejects incomplete answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agent_framework import ChatContext, ChatMiddleware, ChatResponse

from adapters.providers.openai_failures import content_filtered, unusable_answer


class WholeAnswer(ChatMiddleware):
    """Raises an error for an answer cut by the content filter or broken off, which the framework would accept.

    As the agent's own middleware it is outside any given to `run`, which have therefore seen the token counts before it
    raises.
    """

    async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Check the call's answer; a streamed one at its end."""
        if context.stream:
            context.stream_result_hooks.append(self._check)
            await call_next()
        else:
            await call_next()
            if isinstance(context.result, ChatResponse):
                self._check(context.result)

    def _check(self, response: ChatResponse[Any]) -> ChatResponse[Any]:
        if response.finish_reason == "content_filter":
            raise content_filtered()
        if response.finish_reason in (None, "error"):
            raise unusable_answer()
        return response


WHOLE_ANSWER = WholeAnswer()
"""The only instance; it is stateless."""
