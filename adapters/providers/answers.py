"""What an answer must be before it counts as one: chat middleware that providers put into their agents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agent_framework import ChatContext, ChatMiddleware, ChatResponse

from adapters.providers.openai_failures import content_filtered, unusable_answer


class WholeAnswer(ChatMiddleware):
    """Fails a call whose answer the content filter cut or that broke off, which the framework passes on as an answer.

    As the agent's own middleware it is outside any given to `run`, so those have seen the tokens before it raises.
    """

    async def process(self, context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Check the call's answer, or the whole of a streamed one at its end."""
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
"""The one instance; it keeps nothing between calls."""
